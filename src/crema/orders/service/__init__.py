"""Every change to orders: placing them, editing them, moving them to another status, and the mails about it."""

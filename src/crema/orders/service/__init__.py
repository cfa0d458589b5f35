"""Every change to orders, as verbs: placing and editing, moving along, and the mails both promise."""

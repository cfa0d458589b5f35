"""Changes of the support chat: conversations, messages, attachments, notes, and mails about unread answers."""

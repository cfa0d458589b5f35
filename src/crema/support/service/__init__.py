"""Talking to customers: messages, attachments, notes among the staff, and the mail to who is not there."""

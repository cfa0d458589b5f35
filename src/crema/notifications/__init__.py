"""Mails: the outbox, which is written in the request's transaction, templates in two languages, and senders."""

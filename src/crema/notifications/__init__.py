"""Mail: the outbox in the request's transaction, templates in two languages, senders."""

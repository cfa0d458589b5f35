"""The support chat: the conversations of customers with the chain, and the queue for the staff."""

"""The support chat: a customer's conversation with the chain, and the queue of those who answer."""

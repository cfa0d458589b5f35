"""What the sockets of the support chat are told: of one conversation, or of the whole queue."""

from crema.support.hub.conversations import ChatSubscription, ConversationFeed, ConversationState
from crema.support.hub.queue import QueueFeed, QueueSubscription

__all__ = ["ChatSubscription", "ConversationFeed", "ConversationState", "QueueFeed", "QueueSubscription"]

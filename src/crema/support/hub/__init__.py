"""The live feeds of the support chat: of single conversations, and of the queue."""

from crema.support.hub.conversations import ChatSubscription, ConversationFeed, ConversationState
from crema.support.hub.queue import QueueFeed, QueueSubscription

__all__ = ["ChatSubscription", "ConversationFeed", "ConversationState", "QueueFeed", "QueueSubscription"]

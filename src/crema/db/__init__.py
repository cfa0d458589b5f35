"""PostgreSQL: the declarative base, sessions, lists, jobs and the embedded server. No feature knowledge."""

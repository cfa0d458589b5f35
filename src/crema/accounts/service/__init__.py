"""Every change to people, their sessions and roles, as verbs."""

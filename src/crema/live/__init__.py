"""WebSockets and event streams: authentication, records of connections, live feeds, and closing."""

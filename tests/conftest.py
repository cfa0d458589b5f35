"""Lists the fixtures; they live in `fixtures`."""

pytest_plugins = [
    "fixtures.database",
    "fixtures.app",
    "fixtures.people",
    "fixtures.smtp",
    "fixtures.live",
    "fixtures.demo",
]

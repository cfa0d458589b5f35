"""Lists the fixtures; they live in `fixtures`."""

pytest_plugins = [
    "fixtures.order",
    "fixtures.database",
    "fixtures.app",
    "fixtures.people",
    "fixtures.shops",
    "fixtures.smtp",
    "fixtures.live",
    "fixtures.media",
    "fixtures.demo",
    "fixtures.worker",
]

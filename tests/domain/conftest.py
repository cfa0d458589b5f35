"""What tests of rules share."""

import os
import time
from collections.abc import Iterator

import pytest


@pytest.fixture
def server_zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """Let the server's own clock be of this zone."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()

"""The README's tour works when pasted."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.server import Server, running

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("tour") / "data", is_forked=False) as server:
        yield server


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="the tour is for bash and curl")
@pytest.mark.parametrize("readme", ["README.md", "README.ru.md"])
def test_the_tour_ends_with_an_order(server: Server, readme: str) -> None:
    (tour,) = re.findall(r"```sh\n(api=.*?)```", (ROOT / readme).read_text(), re.DOTALL)

    done = subprocess.run(  # noqa: S603 - our own README
        ["bash", "-euo", "pipefail", "-c", tour.replace("http://127.0.0.1:8000", server.url)],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^[A-Z]-\d{3}$", done.stdout, re.MULTILINE), done.stdout

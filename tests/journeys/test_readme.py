"""The README's tour works when pasted."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from journeys.server import running

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="the tour is for bash and curl")
@pytest.mark.parametrize("readme", ["README.md", "README.ru.md"])
def test_the_tour_ends_with_an_order(readme: str, tmp_path: Path) -> None:
    (tour,) = re.findall(r"```sh\n(api=.*?)```", (ROOT / readme).read_text(), re.DOTALL)

    with running(tmp_path / "data") as server:
        script = tour.replace("http://127.0.0.1:8000", server.url)
        done = subprocess.run(  # noqa: S603 - our own README
            ["bash", "-euo", "pipefail", "-c", script],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^[A-Z]-\d{3}$", done.stdout, re.MULTILINE), done.stdout

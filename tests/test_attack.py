"""sqlmap, as a smoke; `make attack` is the whole of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(shutil.which("sqlmap") is None, reason="sqlmap is not installed")
def test_f4_f3_sqlmap_finds_the_planted_hole_and_no_other() -> None:
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, str(ROOT / "tools" / "attack.py"), "--smoke"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "the planted hole, as it should" in done.stdout
    assert "0 findings" in done.stdout

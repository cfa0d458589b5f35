"""RESULTS.md, a section a benchmark."""

import re
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


def keep(title: str, text: str) -> None:
    """Put a section in the place of the one of this title, or at the end."""
    section = f"## {title}\n\n{text.strip()}\n"
    whole = RESULTS.read_text() if RESULTS.exists() else "# Results of `make bench`\n"
    old = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    whole = old.sub(lambda _: section + "\n", whole) if old.search(whole) else f"{whole.rstrip()}\n\n{section}"
    RESULTS.write_text(whole.rstrip() + "\n")

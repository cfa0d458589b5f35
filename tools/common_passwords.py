"""Writes the list of passwords that everybody tries, from zxcvbn's; with --check, fails when it is out of date.

zxcvbn is needed here only: imported by the server, it would keep ten megabytes of tables that nobody asks for.
"""

import sys
from pathlib import Path

from zxcvbn.frequency_lists import FREQUENCY_LISTS

LIST = Path(__file__).parents[1] / "src" / "crema" / "accounts" / "common_passwords.txt"


def main() -> int:
    """Write or check the list."""
    content = "".join(f"{password}\n" for password in sorted(FREQUENCY_LISTS["passwords"]))
    if "--check" in sys.argv[1:]:
        return int(LIST.read_text(encoding="utf-8") != content)
    LIST.write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

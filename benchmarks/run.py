"""All benchmarks, on one PostgreSQL that is filled once: `make bench`."""

import time

import every_route
import flood
import growth
import menu_and_orders
from data import started

import live


def main() -> None:
    """Run them one after another; each writes its own part of RESULTS.md."""
    began = time.monotonic()
    with started() as chain:
        for each in (menu_and_orders, every_route, growth, live):
            print(f"{time.monotonic() - began:4.0f} s: {each.__name__}", flush=True)
            each.measure(chain)
    flood.main()
    print(f"{time.monotonic() - began:4.0f} s in all", flush=True)


if __name__ == "__main__":
    main()

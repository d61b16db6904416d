"""Run the benchmarks and print ratios; exit 1 where one is over its limit. Names as arguments run only those."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

import measure

BENCHMARKS = (
    *("startup", "lint", "healthy", "idle", "tick", "scan", "decide", "journal", "answers"),
    *("hub", "services", "steps", "fleet", "watch", "slurm"),
)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default all")
    parser.add_argument("--rounds", type=int, default=10, help="how often each program runs (start-up: 3 times that)")
    given = parser.parse_args()
    unknown = set(given.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode, a checkout gets it
    sys.dont_write_bytecode = False
    held = True
    for name in given.names or BENCHMARKS:
        benchmark = importlib.import_module(name)
        if benchmark.NEEDS_ANSIBLE and not Path(measure.ANSIBLE).exists():
            print(f"SKIP {name}: there is no {measure.ANSIBLE}; `make bench` installs it")
            held = False
            continue
        for result in benchmark.results(given.rounds):
            print(result, flush=True)
            held = held and result.held
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())

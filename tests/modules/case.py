"""The golden cases of the bundled modules: `tests/modules/{steps,probes}/NAME.yaml`; see runbook/modules/golden/case.py.

Started as a program it judges the cases that come as JSON on standard input and prints what went wrong.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

from runbook.modules.golden.case import (  # noqa: F401 -- what the tests here say as golden.…
    EXPECTATIONS,
    KEYS,
    Case,
    Mismatch,
    fill,
    invalid,
    judge,
    lacks,
    prepare,
    problem,
)

HERE = Path(__file__).parent


def load(folder: str) -> list[Case]:
    """Return the cases in `tests/modules/FOLDER`, or raise ValueError with the file that holds something else."""
    return _read(HERE / folder)


@cache
def _read(folder: Path) -> list[Case]:
    import yaml  # the interpreters of hosts have none

    found = []
    for path in sorted(folder.glob("*.yaml")):
        listed = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
        for body in listed if isinstance(listed, list) else [None]:
            wrong = problem(body)
            if wrong:
                raise ValueError(f"{path}: {wrong}")
            found.append(Case(folder.name, path.stem, body))
    return found


def main() -> None:
    """Judge the cases on standard input; print the mismatches."""
    wrong = []
    for given in json.load(sys.stdin):
        case = Case(given["kind"], given["module"], given["body"])
        if lacks(case):
            continue
        Path(given["tmp"]).mkdir()
        try:
            judge(case, given["params"], prepare(case, given["tmp"])[1], given["tmp"])
        except Exception as error:  # noqa: BLE001 -- reported with its case
            wrong.append(f"{case.name}\n  {type(error).__name__}: {error}")
    json.dump({"version": sys.version.split()[0], "wrong": wrong}, sys.stdout)


if __name__ == "__main__":
    main()

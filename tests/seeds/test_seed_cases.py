"""The seeds' rows that are shown with the virtual clock: each is a case, called as the seed calls it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runbook.engine.language import cases
from runbook.engine.rehearse import suite as suites

FILES = sorted(Path(__file__).parent.glob("*.test.yaml"))
ROWS = [(file, case.name) for file in FILES if (suite := cases.examine(file)[0]) for case in suite.cases]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_cases_of_a_seed_can_be_read(file):
    suite, findings, _ = cases.examine(file)
    assert suite is not None, findings


@pytest.mark.parametrize(("file", "row"), ROWS, ids=[f"{file.name[:3]} {row}" for file, row in ROWS])
def test_seed(file, row):
    suite, _, _ = cases.examine(file)
    (result,) = suites.run(suite, lambda case: case.name == row)
    assert not result.error
    assert [line for each in result.differences for line in each.lines] == []


def test_the_table_names_tests_that_there_are_and_all_of_them():
    here = Path(__file__).parent
    named = set(re.findall(r"`(test_\w+)`", (here / "README.md").read_text(encoding="utf-8")))
    there = {
        name
        for file in (*here.glob("test_seed_0*.py"), *here.parent.glob("system/test_*_seed_0*.py"))
        for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named == there

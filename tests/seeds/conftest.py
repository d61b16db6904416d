"""What the tests of the seeds' promises share: the command line as a person uses it, and runbooks played in words."""

from __future__ import annotations

import textwrap

import pytest
from command_line import CommandLine

from runbook.engine.language import cases
from runbook.engine.rehearse import suite as suites


@pytest.fixture
def runbook(tmp_path):
    """The command line, with a journal and an agent of its own."""
    home = tmp_path / "home"
    home.mkdir()
    return CommandLine(home)


@pytest.fixture
def rehearse(tmp_path):
    """Play cases (the text of a NAME.test.yaml) of a runbook (its text), and hold them to what they expect."""

    def play(book: str, body: str) -> list[suites.Result]:
        (tmp_path / "played.yaml").write_text(textwrap.dedent(book), encoding="utf-8")
        file = tmp_path / "played.test.yaml"
        file.write_text(textwrap.dedent(body), encoding="utf-8")
        suite, findings, _ = cases.examine(file)
        assert suite is not None, findings
        results = suites.run(suite, lambda _: True)
        for result in results:
            assert not result.error, result.error
            assert [line for each in result.differences for line in each.lines] == []
        return results

    return play

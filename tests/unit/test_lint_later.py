"""What later versions bring, and what is told once: neither is a slip of the pen."""

import pytest

from runbook.engine.language import load
from runbook.engine.language.lint import check


@pytest.fixture
def lint(tmp_path):
    def run(text):
        path = tmp_path / "runbook.yaml"
        path.write_text(text, encoding="utf-8")
        return [(found.code, found.message, found.hint) for found in check(load.examine(path))]

    return run


@pytest.mark.parametrize("probe", ["kubernetes"])
def test_a_probe_of_a_later_version_is_told_so(lint, probe):
    told = lint(f"name: x\ndetectors:\n  - {{name: d, {probe}: srv, when: z}}\n")
    assert [(code, message) for code, message, _ in told] == [("RB050", f"`{probe}` is not in this version (0.1)")]


def test_a_misspelt_parameter_is_not_missing_as_well(lint):
    text = "name: x\nfinally:\n  - edit_config: {pth: /srv/x, set: {a: b}}\n"
    assert lint(text) == [("RB007", "`pth` is no parameter of edit_config", "did you mean path?")]


def test_a_closed_set_lists_its_words_for_a_number(lint):
    [(_, _, hint)] = lint("name: x\nfault_tolerance: 2\n")
    assert hint == "write one of none, low, medium, high, critical"


@pytest.mark.parametrize(
    ("when", "code", "part"),
    [
        ("!alive", "RB001", "write: not alive"),
        ("state == “running”", "RB010", "write '"),
        ("uptime > 90 percent", "RB010", "did you mean 90%?"),
    ],
)
def test_what_another_language_would_take_is_told_in_ours(lint, when, code, part):
    [(found, message, hint)] = lint(f"name: x\ndetectors:\n  - name: d\n    daemon: srv\n    when: {when}\n")
    assert found == code
    assert part in message + hint

"""Words, numbers and commands that mean something else than what was written."""

import pytest

from runbook.engine.language import load
from runbook.engine.language.lint import check

DAEMON = "name: example\ndetectors:\n  - name: d\n    daemon: nginx\n"


@pytest.fixture
def lint(tmp_path):
    def run(text):
        path = tmp_path / "runbook.yaml"
        path.write_text(text, encoding="utf-8")
        return check(load.examine(path))

    return run


@pytest.fixture
def codes(lint):
    return lambda text: [finding.code for finding in lint(text)]


@pytest.mark.parametrize(
    ("when", "hint"),
    [
        ("state == running", "write 'running' in quotes"),
        ("running == state", "write 'running' in quotes"),
        ("state in [running, 'failed']", "write 'running' in quotes"),
        ("state == runing", "did you mean 'running', in quotes?"),
        ("unit == vllm", "a text is written in quotes: 'vllm'"),
        ("aliv", "did you mean alive?"),
    ],
)
def test_a_word_without_quotes_is_known_by_what_it_is_compared_with(lint, when, hint):
    [finding] = lint(f"{DAEMON}    when: {when}\n")
    assert (finding.code, finding.hint) == ("RB018", hint)


@pytest.mark.parametrize("when", ["state == run", "runbook != unit", "run", "alive and not secrets", "incident"])
def test_what_holds_several_values_is_neither_compared_nor_a_condition(codes, when):
    assert codes(f"{DAEMON}    when: {when}\n") == ["RB021"]


def test_a_severity_without_quotes_is_told_so(lint):
    text = f"{DAEMON}    when: not alive\n    recover: [{{notify: x, when: incident.severity == high}}]\n"
    assert [(found.code, found.hint) for found in lint(text)] == [("RB017", "write 'high' in quotes")]


@pytest.mark.parametrize(
    ("when", "found"),
    [
        ("disk_free < 50", ["RB052"]),
        ("disk_free < 50GB", []),
        ("disk_free == 0", []),
        ("uptime < 30", ["RB052"]),
        ("cpu_percent > 90", []),
        ("load1 > 4", []),
    ],
)
def test_a_size_or_a_duration_has_a_unit(codes, when, found):
    assert codes(f"name: example\ndetectors:\n  - name: d\n    health: /srv\n    when: {when}\n") == found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("ps | wc", "|"),
        ("ps > /tmp/x", ">"),
        ("ps 2>&1", "2>&1"),
        ("cd /srv && ls", "&&"),
        ("cd /srv; ls", ";"),
        ("ls $HOME", "$HOME"),
        ("ls /srv/*", "*"),
        ("ls '$HOME' '/srv/*' \\* '|'", None),
        ("echo {{ host | upper }} a=1 a|b", None),
    ],
)
def test_a_command_that_is_written_for_a_shell_is_told_that_there_is_none(lint, line, found):
    text = f"name: example\ndetectors:\n  - name: d\n    command: |-\n      {line}\n    when: exit_code != 0\n"
    told = [each for each in lint(text) if each.code == "RB053"]
    assert [each.message for each in told] == (
        [f"without a shell, `{found}` is passed to the program as it stands"] if found else []
    )


def test_the_words_of_a_command_that_is_a_list_are_meant_as_they_stand(codes):
    text = "name: example\ndetectors:\n  - {name: d, command: [find, '*', ';'], when: exit_code != 0}\n"
    assert codes(text) == []


@pytest.mark.parametrize(
    ("when", "found"), [("'600'", "RB020"), ("600", "RB021"), ("'0o600'", "RB020"), ("'0600'", None)]
)
def test_a_mode_is_four_octal_digits(lint, when, found):
    told = lint(f'name: example\ndetectors:\n  - {{name: d, file: /srv/x, when: "mode != {when}"}}\n')
    assert [(each.code, "'0600'" in each.hint) for each in told] == ([(found, True)] if found else [])


def test_a_comparison_of_unlike_things_is_not_called_impossible_as_well(codes):
    assert codes(f"{DAEMON}    when: state == 'ruining'\n") == ["RB020"]

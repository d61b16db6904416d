import pytest

from runbook.modules import cut
from runbook.modules.host import Completed, Host
from runbook.modules.probes.command import HEAD, TAIL, Command


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("one\ntwo\nthr", "one\ntwo\n"),
        ("one\ntwo\n", "one\ntwo\n"),
        ("some words and hal", "some words and "),
        ("s3cr3t", ""),
        ("", ""),
        ("a\n" + "b " * cut.NEAR + "hal", "a\n" + "b " * cut.NEAR),
    ],
)
def test_before_a_cut_stand_whole_lines_or_else_whole_words(text, kept):
    assert cut.before(text) == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("ee\nfour\nfive", "four\nfive"),
        ("lf of a line", "of a line"),
        ("cr3t", ""),
        ("", ""),
        ("lf " + "b " * cut.NEAR + "\nc", "b " * cut.NEAR + "\nc"),
    ],
)
def test_after_a_cut_stand_whole_lines_or_else_whole_words(text, kept):
    assert cut.after(text) == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [("one two", "one two"), ("one two three", "one two"), ("onetwothree", ""), ("onetwot hree", "onetwot")],
)
def test_a_line_is_shortened_to_whole_words(text, kept):
    assert cut.start(text, 7) == kept


def test_the_output_of_a_probed_command_is_cut_between_lines():
    lines = "token=s3cr3t-0123456789\n" * 10_000

    class Talking(Host):
        def run(self, *_, **__):
            return Completed(0, lines, "s3cr3t" * 20_000)

    (answer,) = Command(("talk",)).look(Talking())
    told = set(answer.stdout.splitlines())
    assert "token=s3cr3t-0123456789" in told
    assert all("left out" in line or line in lines.splitlines() for line in told - {""})
    assert HEAD + TAIL - 100 < len(answer.stdout) < HEAD + TAIL + 100
    assert "s3cr3t" not in answer.stderr

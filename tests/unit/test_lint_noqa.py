"""`# noqa`: what it silences, what it never silences, and what is said when it silences nothing."""

import pytest

from runbook.engine.language import load
from runbook.engine.language.lint import check

DETECTOR = """\
name: example
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health{detector}
    when: {when}{comment}
"""


@pytest.fixture
def codes(tmp_path):
    def lint(text):
        path = tmp_path / "runbook.yaml"
        path.write_text(text, encoding="utf-8", newline="")
        return [finding.code for finding in check(load.examine(path))]

    return lint


def written(when, comment="", detector=""):
    return DETECTOR.format(when=when, comment=comment, detector=detector)


def test_a_code_silences_its_finding_on_its_line(codes):
    assert codes(written("stat != 200")) == ["RB018"]
    assert codes(written("stat != 200", "  # noqa: RB018")) == []


def test_several_codes_are_parted_by_commas(codes):
    text = written("stat != 200 and status == 'x'")
    assert sorted(codes(text)) == ["RB018", "RB021"]
    assert codes(text.rstrip("\n") + " # noqa: RB018, RB021\n") == []


def test_words_behind_the_codes_say_why(codes):
    assert codes(written("stat != 200", "  # noqa: RB018 -- a field of tomorrow")) == []


def test_a_code_on_another_line_silences_nothing_and_is_superfluous(codes):
    assert codes(written("stat != 200", detector="  # noqa: RB018")) == ["RB016", "RB018"]


def test_a_comment_without_codes_silences_warnings_and_no_errors(codes):
    text = "name: example\nfinally: [notify: done]\nvars:\n  unused: 1{}\n"
    assert codes(text.format("")) == ["RB048"]
    assert codes(text.format("  # noqa")) == []
    assert codes(written("stat != 200", "  # noqa")) == ["RB018", "RB016"]


def test_a_hash_within_a_value_is_no_comment(codes):
    text = "name: example\nfinally:\n  - notify: '{{ x }} # noqa: RB017'\n  - notify: \"{{ y }} # noqa: RB017\"\n"
    assert codes(text) == ["RB017", "RB017"]
    assert codes("name: example\nfinally:\n  - notify: {{ x }}#noqa\n".replace("{{ x }}", "plain")) == []


def test_a_comment_at_the_head_of_a_block_scalar_holds_for_all_of_it(codes):
    text = (
        "name: example\nfinally:\n"
        "  - shell:{0}\n      script: |{1}\n        echo one\n        echo {{{{ missing }}}} # noqa: RB017\n"
    )
    assert codes(text.format("", "")) == ["RB035", "RB017"]
    assert codes(text.format(" # noqa: RB035", " # noqa: RB017")) == []


def test_what_a_file_that_does_not_load_would_have_said_is_not_held_against_its_comments(codes):
    assert codes("name: example # noqa: RB050\ncooldwon: 1m\n") == ["RB007"]


def test_a_comment_can_silence_a_finding_of_the_loader_by_name_only(codes):
    assert codes("name: example\ncooldwon: 1m # noqa: RB007\n") == []
    assert codes("name: example\ncooldwon: 1m # noqa\n") == ["RB007"]


def test_unreadable_yaml_can_not_be_silenced(codes):
    assert codes("name: [ # noqa: RB001\n") == ["RB001"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_of_windows_change_nothing(codes, end):
    assert codes(written("stat != 200", "  # noqa: RB018").replace("\n", end)) == []


def test_letters_beyond_ascii_before_it_change_nothing(codes):
    assert (
        codes(
            "description: 'größe 中文 😀'\nname: example\nfinally: [notify: done]\nvars:\n  unused: '😀' # noqa: RB048\n"
        )
        == []
    )

"""`--fix`: what is mended, what stays as it is, and that nothing gets worse."""

import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runbook.engine.errors import UserError
from runbook.engine.language import load
from runbook.engine.language.lint import check, fix

SICK = """\
# the head
name: example   # keep me
cooldown: 30    # half a minute
vars: {port: 8000}   # noqa: RB050
finally:
  - notify: "{{ port }}"
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: "{{ status != 200 }}"  # quoted

    severity: high
    limit: 3 per 1h
"""
WELL = """\
# the head
name: example   # keep me
cooldown: 30s    # half a minute
vars: {port: 8000}
finally:
  - notify: "{{ port }}"
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: "status != 200"  # quoted

    severity: high
"""


def findings(path):
    return check(load.examine(path))


@pytest.fixture
def mended(tmp_path):
    def mend(text):
        path = tmp_path / "runbook.yaml"
        path.write_text(text, encoding="utf-8", newline="")
        fix.mend(path, text, findings)
        assert [file.name for file in tmp_path.iterdir()] == ["runbook.yaml"]
        return path.read_bytes().decode()

    return mend


def test_what_is_safe_is_mended_and_comments_and_layout_stay(mended):
    assert mended(SICK) == WELL


def test_mending_twice_changes_nothing_more(mended):
    assert mended(mended(SICK)) == mended(SICK)


def test_line_ends_of_windows_stay(mended):
    assert mended(SICK.replace("\n", "\r\n")) == WELL.replace("\n", "\r\n")


def test_a_superfluous_code_goes_and_the_one_that_is_needed_stays(mended):
    text = "name: example\nvars:\n  unused: 1  # noqa: RB048, RB050 -- for tomorrow\n"
    assert mended(text) == "name: example\nvars:\n  unused: 1  # noqa: RB048 -- for tomorrow\n"


def test_other_words_of_a_superfluous_comment_stay(mended):
    assert mended("name: example  # noqa: RB048 -- the name\n") == "name: example  # the name\n"


@pytest.mark.parametrize(
    "text",
    [
        "name: example\ncooldwon: 1m\n",  # the nearest name may not be meant
        "name: example\nvars:\n  unused: 1\n",
        "name: example\nrollback: yes\n",  # true, or the word?
        "name: example\ndetectors: [{name: a, http: http://127.0.0.1/, when: status != 200, cooldown: 5m}]\n",
    ],
)
def test_what_only_a_person_can_decide_stays(mended, text):
    assert mended(text) == text


def test_a_file_keeps_its_mode_and_a_link_keeps_pointing_to_it(tmp_path):
    target = tmp_path / "real.yaml"
    target.write_text(SICK)
    target.chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to(target)
    assert fix.mend(link, SICK, findings) == 4
    assert link.is_symlink()
    assert target.read_text() == WELL
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_place_that_can_not_be_written_is_told_and_nothing_changes(tmp_path):
    with pytest.raises(UserError, match="can't be written"):
        fix.mend(tmp_path / "gone" / "runbook.yaml", SICK, findings)


LINES = SICK.splitlines(keepends=True)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kept=st.lists(st.sampled_from(range(len(LINES))), unique=True), swap=st.sampled_from(["", "\t", "#", "'", "30"]))
def test_mending_never_makes_a_file_worse(tmp_path, kept, swap):
    text = "".join(LINES[at] for at in sorted(kept)) + swap
    path = tmp_path / "runbook.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    before = [found for found in findings(path) if found.code <= "RB015"]
    fix.mend(path, text, findings)
    after = [found for found in findings(path) if found.code <= "RB015"]
    assert len(after) <= len(before)
    once = path.read_bytes()
    fix.mend(path, once.decode(), findings)
    assert path.read_bytes() == once

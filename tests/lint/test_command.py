"""`runbook lint` as people call it."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from runbook.engine.cli.lint import command
from runbook.engine.errors import UserError

GOOD = "name: good\ndetectors:\n  - name: down\n    http: http://127.0.0.1:8000/\n    when: status != 200\n"
BAD = GOOD.replace("status", "statsu")
WARNED = GOOD + "vars: {unused: 1}\n"


@pytest.fixture
def lint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*args):
        done = CliRunner().invoke(command, list(args), standalone_mode=False)
        if done.exception is not None:
            raise done.exception
        return done.return_value, done.output

    return run


def test_without_a_path_the_runbooks_below_the_current_directory_are_checked(lint, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "bad.yml").write_text(BAD)
    (tmp_path / "good.yaml").write_text(GOOD)
    code, out = lint()
    assert code == 1
    assert "deep/er/bad.yml:5:11" in out
    assert "1 error in 2 files" in out


def test_what_is_no_runbook_is_passed_over_in_a_directory(lint, tmp_path):
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "inventory.yaml").write_text("all:\n  hosts:\n    a:\n")
    (tmp_path / "play.yml").write_text("- hosts: all\n  tasks: []\n")
    (tmp_path / "good.test.yaml").write_text("detectors: x\n")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "bad.yaml").write_text(BAD)
    assert lint() == (0, "no findings in 1 file\n")


def test_a_file_that_is_named_is_checked_whatever_it_is(lint, tmp_path):
    (tmp_path / "compose.yaml").write_text("services:\n  web:\n    image: a\n")
    assert lint("compose.yaml")[0] == 1


def test_the_vars_of_an_inventory_are_known_to_runbooks(lint, tmp_path):
    (tmp_path / "good.yaml").write_text(GOOD + "vars: {path: '{{ rack }}'}\nfinally: [{notify: '{{ path }}'}]\n")
    (tmp_path / "inventory.yaml").write_text("all:\n  hosts:\n    a: {rack: 7}\n")
    assert "`rack` is not defined here" in lint("good.yaml")[1]
    assert lint("good.yaml", "-i", "inventory.yaml") == (0, "no findings in 1 file\n")


def test_links_that_go_round_are_followed_once(lint, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "bad.yaml").write_text(BAD)
    (tmp_path / "a" / "round").symlink_to(tmp_path)
    (tmp_path / "again.yaml").symlink_to(tmp_path / "a" / "bad.yaml")
    _, out = lint()
    assert "1 error in 1 file" in out


def test_nothing_in_one_file_hides_another(lint, tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"detectors:\xff\xfe\n")
    (tmp_path / "b.yaml").write_text("")
    (tmp_path / "c.yaml").write_text("detectors: [" + "[" * 500)
    (tmp_path / "d.yaml").write_bytes(b"detectors: " + b"x" * 2_000_000)
    (tmp_path / "e.yaml").write_text(BAD)
    (tmp_path / "dir").mkdir()
    code, out = lint("a.yaml", "missing.yaml", "dir", "b.yaml", "c.yaml", "d.yaml", "e.yaml", "nul\0.yaml", "x" * 5000)
    assert code == 1
    for name in ("a.yaml", "missing.yaml", "dir", "b.yaml", "c.yaml", "d.yaml", "e.yaml:5:11"):
        assert f"--> {name}" in out, name


def test_a_broken_link_and_a_device_are_findings(lint, tmp_path):
    (tmp_path / "gone.yaml").symlink_to("nowhere")
    code, out = lint("gone.yaml", os.devnull)
    assert code == 1
    assert "--> gone.yaml:1:1" in out


def test_a_directory_without_runbooks_is_told(lint):
    code, out = lint()
    assert code == 1
    assert "no runbook below" in out


def test_the_name_of_a_bundled_runbook_will_do(lint):
    code, out = lint("quickstart")
    assert code == 0, out


def test_warnings_count_only_when_strict(lint, tmp_path):
    (tmp_path / "a.yaml").write_text(WARNED)
    assert lint("a.yaml")[0] == 0
    assert lint("--strict", "a.yaml")[0] == 1


def test_rules_can_be_chosen_and_left_out(lint, tmp_path):
    (tmp_path / "a.yaml").write_text(BAD + "vars: {unused: 1}\n")
    assert lint("--select", "rb048", "a.yaml")[0] == 0
    assert lint("--ignore", "RB018,RB048", "a.yaml") == (0, "no findings in 1 file\n")
    with pytest.raises(UserError, match="there is no rule `RB999`"):
        lint("--select", "RB999", "a.yaml")


def test_fix_mends_the_file_and_says_how_much(lint, tmp_path):
    (tmp_path / "a.yaml").write_text(GOOD.replace("name: good", "name: good # noqa: RB048"))
    assert lint("--fix") == (0, "1 fixed in 1 file\n")
    assert (tmp_path / "a.yaml").read_text() == GOOD


def test_formats_for_programs_print_nothing_else(lint, tmp_path):
    (tmp_path / "a.yaml").write_text(BAD)
    assert json.loads(lint("--format", "json")[1])["findings"][0]["code"] == "RB018"
    assert json.loads(lint("--format", "sarif")[1])["version"] == "2.1.0"
    assert lint("--format", "github")[1].startswith("::error file=a.yaml,line=5,")


@pytest.mark.parametrize("form", ["text", "json", "sarif", "github"])
def test_a_terminal_that_knows_no_unicode_gets_the_findings_all_the_same(form, tmp_path):
    (tmp_path / "größe\udcff.yaml").write_text(BAD.replace("down", "gestört"))
    argv = [sys.executable, "-m", "runbook", "lint", "--format", form, str(tmp_path)]
    env = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run(argv, env=env, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert b"RB018" in done.stdout
    assert done.stderr == b""


def test_a_rule_is_explained_by_code_and_by_name(lint):
    code, out = lint("--explain", "rb026")
    assert code == 0
    assert out.startswith("RB026 catastrophic-regex (error)\n")
    assert lint("--explain", "catastrophic-regex")[1] == out


def test_all_rules_are_listed(lint):
    lines = lint("--explain", "all")[1].splitlines()
    assert lines[0].startswith("RB001  syntax")
    assert len(lines) >= 30


@pytest.mark.parametrize(("wanted", "near"), [("RB54", "RB054"), ("unknwn-field", "unknown-field"), ("rb26", "RB026")])
def test_a_rule_that_does_not_exist_names_the_nearest(lint, wanted, near):
    with pytest.raises(UserError, match="there is no rule") as raised:
        lint("--explain", wanted)
    assert near in raised.value.mend

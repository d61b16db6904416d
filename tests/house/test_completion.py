"""Shells really complete: the script is loaded into each shell that is here, and asked."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from runbook.engine.cli._commands import runbook

ASK = r"""
eval "$(runbook completion bash)"
complete -p runbook >/dev/null || exit 9
compopt() { :; }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_runbook_completion runbook
printf '%s\n' "${COMPREPLY[@]}"
"""


def needed(shell):
    if shutil.which(shell) is None:
        assert not os.environ.get("CI"), f"there is no {shell}"
        pytest.skip(f"there is no {shell}")


def call(*argv, cwd, **environment):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, **environment}
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["app"], ["apply", "approvals", "approve"]),
        (["apply", "--max-"], ["--max-mode", "--max-impact"]),
        (["apply", "--max-mode", ""], ["observe", "approve", "auto"]),
        (["apply", "qui"], ["quickstart"]),
        (["check", "own"], ["own.yaml"]),
        (["doc", "clear"], ["clear_cache"]),
        (["doc", "cuda.oo"], ["cuda.oom"]),
        (["doc", "signat"], ["signatures"]),
        (["doc", "signatures", "kmsg.xid15"], ["kmsg.xid154"]),
        (["probe", "hea"], ["health"]),
        (["run", "restart"], ["restart_daemon"]),
        (["completion", "f"], ["fish"]),
    ],
    ids=" ".join,
)
def test_bash_completes(words, expected, tmp_path):
    needed("bash")
    (tmp_path / "own.yaml").touch()
    found = call("bash", "--norc", "-c", ASK, "bash", "runbook", *words, cwd=tmp_path)
    assert found == expected


def test_fish_completes(tmp_path):
    needed("fish")
    script = 'runbook completion fish | source; complete --do-complete "runbook doc clear"'
    assert [line.split("\t")[0] for line in call("fish", "-c", script, cwd=tmp_path, HOME=str(tmp_path))] == [
        "clear_cache"
    ]


def test_zsh_takes_the_script(tmp_path):
    needed("zsh")
    script = 'autoload -U compinit; compinit -D; eval "$(runbook completion zsh)"; print $_comps[runbook]'
    assert call("zsh", "-f", "-c", script, cwd=tmp_path) == ["_runbook_completion"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for(shell):
    done = CliRunner().invoke(runbook, ["completion", shell], prog_name="runbook")
    assert done.exit_code == 0
    assert "_RUNBOOK_COMPLETE" in done.output

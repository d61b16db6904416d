"""What `runbook install` shows and refuses, where nothing is written: `--check`, and what can't work."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

RUNBOOK = [sys.executable, "-m", "runbook"]
PLAIN = "name: plain\ndetectors: [{name: port, port: 8000, when: not open}]\n"


@pytest.fixture
def call(tmp_path):
    def said(*words, **environment):
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), **environment}
        env = {name: value for name, value in env.items() if value is not None}
        argv = [*RUNBOOK, "install", *words]
        return subprocess.run(
            argv,
            cwd=tmp_path,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    (tmp_path / "home").mkdir()
    return said


def written(place, text, name="x.yaml"):
    file = place / name
    file.write_text(text)
    return file


def refused(done, *told):
    assert done.returncode == 1, done.stdout
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for each in told:
        assert each in done.stderr, done.stderr


def test_every_path_and_option_is_passed_on_whole(call, tmp_path):
    written(tmp_path, "all: {hosts: {localhost: {ansible_connection: local}}}\n", "hosts.yaml")
    written(tmp_path, "port: 1\n", "vars.yaml")
    written(
        tmp_path,
        PLAIN.replace("port: 8000", "port: '{{ port }}'").replace("name: port", "name: p") + "vars: {port: 1}\n",
    )
    done = call(
        "x.yaml", "--check", "-e", "@vars.yaml", "-i", "hosts.yaml", "-l", "localhost", "--metrics", "9464",
        "--journal", "j/journal.db", "-vv", "--max-mode=approve", "--grace", "90s", "--name", "both",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (started,) = [line for line in done.stdout.splitlines() if "ExecStart=" in line]
    assert started.endswith(
        f"watch --extra-vars @{tmp_path}/vars.yaml --inventory {tmp_path}/hosts.yaml --limit localhost --metrics 9464 "
        f"--journal {tmp_path}/j/journal.db --verbose --verbose --max-mode approve --grace 90s -- {tmp_path}/x.yaml"
    )
    assert "/both.service:" in done.stdout
    assert "TimeoutStopSec=120s" in done.stdout
    assert ("x.yaml lies in /tmp: it will be gone some day" in done.stdout) == str(tmp_path).startswith("/tmp")


def test_what_the_service_takes_from_its_configuration_is_known(call, tmp_path):
    written(tmp_path, PLAIN.replace("name: plain", "name: plain\nhosts: all"))
    written(tmp_path, "all: {hosts: {far1: {}}}\n", "hosts.yaml")
    written(
        tmp_path,
        f"[defaults.watch]\ninventory = '{tmp_path}/hosts.yaml'\njournal = '/srv/journals/j.db'\n",
        "runbook.toml",
    )
    done = call("x.yaml", "--check")
    assert done.returncode == 0, done.stderr
    assert "ProtectProc=invisible" in done.stdout  # other hosts alone
    assert "Journal=/srv/journals/j.db" in done.stdout
    assert f"WorkingDirectory={tmp_path}\n" in done.stdout
    (started,) = [line for line in done.stdout.splitlines() if "ExecStart=" in line]
    assert started.endswith(f"runbook watch -- {tmp_path}/x.yaml")  # it reads that itself


def test_a_bundled_runbook_keeps_its_name(call):
    done = call("gpu-health", "--check")
    assert done.returncode == 0, done.stderr
    assert "watch -- gpu-health\n" in done.stdout
    assert "runbook-gpu-health.service:" in done.stdout


def test_a_runbook_that_does_not_lint_is_not_installed(call, tmp_path):
    written(tmp_path, PLAIN.replace("not open", "not opne"))
    refused(call("x.yaml", "--check"), "error[RB018 unknown-field]", "did you mean open?")


@pytest.mark.parametrize("words", [(), ("--cron",)])
def test_a_secret_of_this_shell_is_refused_with_what_to_do(call, tmp_path, words):
    text = PLAIN + "secrets: {token: {env: HF_TOKEN}}\n"
    written(tmp_path, text)
    done = call("x.yaml", "--check", *words, HF_TOKEN="s3cret")
    refused(done, "x.yaml: secrets.token: a service has no HF_TOKEN in its environment", "{file: /etc/runbook/token}")
    assert ("--env-file" in done.stderr) == (not words)
    assert "s3cret" not in done.stderr


def test_a_secret_in_an_environment_file_will_do(call, tmp_path):
    written(tmp_path, PLAIN + "secrets: {token: {env: HF_TOKEN}}\n")
    file = written(tmp_path, "# mine\nHF_TOKEN=s3cret\n", "env")
    done = call("x.yaml", "--check", "--env-file", "env")
    assert done.returncode == 0, done.stderr
    assert f"EnvironmentFile={file}\n" in done.stdout
    assert "s3cret" not in done.stdout
    file.write_text("OTHER=1\n")
    refused(call("x.yaml", "--check", "--env-file", "env"), "a service has no HF_TOKEN")
    refused(call("x.yaml", "--check", "--env-file", "nowhere"), "--env-file", "can't be read")


@pytest.mark.parametrize("command", ["[./look.sh, now]", "./look.sh now", "bin/look"])
def test_a_program_that_is_found_here_alone_is_refused(call, tmp_path, command):
    written(tmp_path, f"name: x\ndetectors:\n  - name: d\n    command: {command}\n    when: exit_code != 0\n")
    refused(call("x.yaml", "--check"), "is relative, and a service begins elsewhere", "{{ runbook.dir }}/")
    written(
        tmp_path,
        f"name: x\ndetectors:\n  - name: d\n    command: {{argv: {command}, cwd: /srv}}\n    when: exit_code != 0\n",
    )
    assert call("x.yaml", "--check").returncode == 0


@pytest.mark.parametrize("words", [(), ("--cron",)])
def test_a_program_that_the_service_would_not_find_is_told(call, tmp_path, words):
    text = "name: x\nevery: 10s\ndetectors:\n  - name: d\n    command: [{program}, now]\n    when: exit_code != 0\n"
    written(tmp_path, text.format(program="nowhere-to-be-found"))
    done = call("x.yaml", "--check", *words)
    assert done.returncode == 0, done.stderr
    assert "would find no nowhere-to-be-found in the service's PATH (" in done.stdout
    assert ("`x`: cron looks once a minute" in done.stdout) is bool(words)
    written(tmp_path, text.format(program="sh"))
    assert "service's PATH" not in call("x.yaml", "--check", *words).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="what root obeys")
@pytest.mark.parametrize("way", ["file", "folder", "owner"])
def test_root_does_not_obey_for_ever_what_somebody_else_writes(call, tmp_path, way):
    (tmp_path / "theirs").mkdir()
    file = written(tmp_path / "theirs", PLAIN)
    if way == "file":
        file.chmod(0o666)
    elif way == "folder":
        (tmp_path / "theirs").chmod(0o777)
    else:
        os.chown(tmp_path / "theirs", 65534, 65534)
    done = call(str(file), "--check")
    refused(
        done, f"{file}: root would do for ever what is here, and ", "chmod go-w" if way != "owner" else "chown root"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="what root obeys")
def test_root_does_not_run_for_ever_what_lies_in_somebodys_home(tmp_path):
    here = tmp_path / "ann/venv"
    site = here / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    site.mkdir(parents=True)
    (here / "bin").mkdir()
    (here / "bin/python").symlink_to(os.path.realpath(sys.executable))
    (here / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n")
    (site / "all.pth").write_text(f"{sysconfig.get_path('purelib')}\n{Path(__file__).parents[2]}\n")
    os.chown(tmp_path / "ann", 65534, 65534)
    written(tmp_path, PLAIN)
    argv = [here / "bin/python", "-m", "runbook", "install", "x.yaml", "--check"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    refused(
        done,
        "root would do for ever what is here, and ",
        f"{tmp_path}/ann belongs to uid 65534",
        "python3 -m venv /opt/runbook",
    )
    assert done.stderr.count("error:") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="what root obeys")
def test_root_does_not_obey_an_inventory_of_which_somebody_else_writes_a_part(call, tmp_path):
    written(tmp_path, PLAIN.replace("name: plain", "name: plain\nhosts: all"))
    (tmp_path / "inventory/host_vars").mkdir(parents=True)
    written(tmp_path / "inventory", "[web]\nh1\n", "hosts")
    theirs = written(tmp_path / "inventory/host_vars", "ansible_connection: local\n", "h1.yaml")
    assert call("x.yaml", "-i", "inventory", "--check").returncode == 0
    theirs.chmod(0o666)
    refused(call("x.yaml", "-i", "inventory", "--check"), f"{theirs}: root would do for ever", f"chmod go-w {theirs}")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Missing argument 'RUNBOOK|DIR...'"),
        (["nowhere.yaml"], "nowhere.yaml"),
        (["quickstart", "--name", "../x"], "can't be a service's name"),
        (["quickstart", "--schedule", "* * * * *"], "--schedule and --mailto are for --cron"),
        (["quickstart", "--cron", "--schedule", "soon"], "a cron expression has five fields"),
        (["quickstart", "-i", "localhost,", "--vault-id", "it@prompt"], "a service has nobody to ask for a password"),
        (["quickstart", "--once"], "No such option"),
        (["quickstart", "-K"], "No such option"),
        (["quickstart", "--max-mode", "all"], "'all' is not one of"),
        (["quickstart", "--hosts", "x"], "No such option"),
    ],
)
def test_wrong_words_are_said_to_be(call, words, told):
    done = call(*words, "--check")
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert done.stderr.startswith("error: ")


def test_nothing_is_written_without_a_yes(call, tmp_path):
    written(tmp_path, PLAIN)
    done = call(
        "x.yaml", "--cron", "--schedule", "*/7 * * * *", "--mailto", "ops@example.org", "--name", f"try{os.getpid()}"
    )
    assert done.returncode == 1
    assert 'MAILTO="ops@example.org"' in done.stdout
    assert "*/7 * * * * " in done.stdout
    assert "watch --once --quiet" in done.stdout
    assert "nobody can be asked here" in done.stderr
    assert not Path(f"/etc/cron.d/try{os.getpid()}").exists()


def test_what_is_not_installed_is_not_taken_away(tmp_path):
    argv = [*RUNBOOK, "uninstall", "--yes", "no-such-thing"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "is not installed" in done.stderr or "nothing is installed" in done.stderr

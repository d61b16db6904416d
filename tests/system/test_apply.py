"""`runbook apply` on real files and processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

SERVICE = """
import os, signal, sys, time
if len(sys.argv) > 2 and os.path.exists(sys.argv[2]):
    {before}
open(sys.argv[1], "w").write(str(os.getpid()))
end = time.monotonic() + 120
while time.monotonic() < end:
    time.sleep(0.05)
    {loop}
"""

DAEMON = """
name: daemon
writable: ["{home}/run"]
detectors:
  - name: down
    daemon: {{unit: "{home}/run/s.pid", match: "{home}/service.py"}}
    when: not alive
    limit: 3 per 5m
    recover:
      - restart_daemon: {{unit: "{home}/run/s.pid", match: "{home}/service.py", start: ["{python}", "{home}/service.py", "{home}/run/s.pid"]}}
    verify: {{for: 1s, within: 8s}}
"""


class Service:
    def __init__(self, cli, before="pass", loop="pass") -> None:
        self.pidfile = cli.home / "run" / "s.pid"
        cli.write("service.py", SERVICE.format(before=before, loop=loop))
        (cli.home / "run").mkdir()
        self.runbook = cli.write("daemon.yaml", DAEMON.format(home=cli.home, python=sys.executable))

    @property
    def pid(self) -> int:
        return int(self.pidfile.read_text())

    def kill(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.kill(self.pid, signal.SIGKILL)


@pytest.fixture
def service(cli):
    made = []

    def make(**code):
        made.append(Service(cli, **code))
        return made[-1]

    yield make
    for one in made:
        one.kill()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_daemon_comes_back_and_is_seen_to_be_back(cli, service):
    one = service()
    first = cli.json("apply", one.runbook)
    assert (first.exit_code, first.incidents["down"]["state"]) == (0, "cured"), first.out + first.err
    before = one.pid
    assert alive(before)
    one.kill()
    second = cli.json("apply", one.runbook)
    assert (second.exit_code, second.incidents["down"]["state"]) == (0, "cured"), second.out
    assert alive(one.pid)
    assert one.pid != before


def test_a_second_apply_on_a_healed_machine_does_nothing_and_says_so(cli, service):
    one = service()
    cli("apply", one.runbook)
    pid = one.pid
    again = cli("apply", one.runbook)
    assert again.exit_code == 0
    assert "nothing to do" in again.out
    assert one.pid == pid


def test_a_daemon_that_dies_again_at_once_is_unhealed(cli, service):
    one = service(loop="sys.exit(3) if time.monotonic() > end - 118.7 else None")
    ran = cli.json("apply", one.runbook)
    assert ran.exit_code == 2
    assert ran.incidents["down"]["state"] == "unhealed"
    shown = cli("history")
    assert "unhealed" in shown.out


def test_check_changes_nothing_and_says_what_it_would_do(cli, service, tree):
    one = service()
    before = tree(cli.home)
    ran = cli("apply", "--check", one.runbook)
    after = {path: seen for path, seen in tree(cli.home).items() if not path.startswith("agent")}
    assert after == {path: seen for path, seen in before.items() if not path.startswith("agent")}
    assert ran.exit_code == 2
    assert "would" in ran.out
    assert "restart_daemon" in ran.out
    assert not (cli.home / "journal.db").exists()


FILES = """
name: files
writable: ["{home}/data"]
detectors:
  - name: cache
    file: {home}/data/cache
    when: size > 500kB
    mode: auto
    recover: [{{clear_cache: {{path: "{home}/data/cache", max_size: 200kB}}}}]
  - name: batch
    command: ["{python}", -c, "import json; print(json.load(open('{home}/data/config.json'))['batch'])"]
    when: stdout | int > 64
    recover: [{{edit_config: {{path: "{home}/data/config.json", multiply: {{batch: 0.5}}, max: {{batch: 64}}}}}}]
  - name: mode
    file: {home}/data/token
    when: mode != '0600'
    recover: [{{chown: {{path: "{home}/data/token", mode: "0600"}}}}]
"""


@pytest.fixture
def files(cli):
    data = cli.home / "data"
    (data / "cache").mkdir(parents=True)
    for number in range(10):
        (data / "cache" / str(number)).write_bytes(b"x" * 100_000)
    (data / "config.json").write_text('{\n  "batch": 512,\n  "lr": 0.1\n}\n')
    (data / "token").write_text("t")
    (data / "token").chmod(0o644)
    return cli.write("files.yaml", FILES.format(home=cli.home, python=sys.executable))


def test_files_are_healed_each_by_its_own_detector(cli, files):
    ran = cli.json("apply", files)
    assert ran.exit_code == 0, ran.out
    assert {name: one["state"] for name, one in ran.incidents.items()} == {
        "cache": "cured",
        "batch": "cured",
        "mode": "cured",
    }
    data = cli.home / "data"
    assert sum(file.stat().st_size for file in (data / "cache").iterdir()) <= 200_000
    assert (data / "config.json").read_text() == '{\n  "batch": 64,\n  "lr": 0.1\n}\n'
    assert (data / "token").stat().st_mode & 0o777 == 0o600
    assert cli("apply", files).exit_code == 0


def test_check_and_diff_show_a_config_edit_and_leave_the_tree_as_it_is(cli, files, tree):
    before = tree(cli.home / "data")
    ran = cli("apply", "--check", "--diff", files)
    assert tree(cli.home / "data") == before
    assert '-  "batch": 512,' in ran.out
    assert '+  "batch": 64,' in ran.out
    assert "would" in ran.out


def test_diff_shows_what_was_edited(cli, files):
    ran = cli("apply", "--diff", files)
    assert '+  "batch": 64,' in ran.out


def test_check_command_looks_only(cli, files, tree):
    before = tree(cli.home / "data")
    ran = cli("check", files)
    assert (ran.exit_code, tree(cli.home / "data")) == (2, before)


def test_check_fix_heals_without_operations(cli, files):
    assert cli("check", "--fix", files).exit_code == 0


def test_detector_and_tags_select(cli, files):
    ran = cli.json("apply", files, "--detector", "mode")
    assert set(ran.incidents) == {"mode"}
    assert cli("apply", files, "--detector", "mod").exit_code == 1


def test_extra_vars_override_vars(cli):
    book = cli.write(
        "v.yaml", "name: v\nvars: {path: /nowhere}\ndetectors:\n  - {name: f, file: '{{ path }}', when: exists}\n"
    )
    assert cli("apply", book).exit_code == 0
    assert cli("apply", book, "-e", "path=/etc/passwd").exit_code == 2
    extra = cli.write("extra.yaml", "path: /etc/passwd\n")
    assert cli("apply", book, "-e", f"@{extra}").exit_code == 2


HOSTILE = "'; touch {marker}; {{{{ 7*7 }}}} $(touch {marker}) `touch {marker}` -rf"

ECHO = """
name: hostile
writable: ["{home}/data"]
detectors:
  - name: line
    log: {{paths: "{home}/app.log", patterns: 'ERR (?P<text>.{{1,2000}})', from: start}}
    mode: auto
    verify: {{for: 100ms, within: 2s}}
    recover:
      - command: {{argv: [/usr/bin/printf, --, "%s", "{{{{ incident.text }}}}"]}}
        register: said
      - command: {{argv: ["{python}", -c, "import sys; open(sys.argv[1], 'w').write(sys.argv[2])", "{home}/data/argv", "x {{{{ incident.text }}}}"]}}
      - shell: {{script: 'printf %s "$TEXT" > "$ROOT/env"', env: {{TEXT: "{{{{ incident.text }}}}", ROOT: "{home}/data"}}}}
      - command: {{argv: [/bin/cat], stdin: "{{{{ said.output }}}}"}}
        register: again
      - shell: {{script: 'printf %s "$TEXT" > "$ROOT/twice"', env: {{TEXT: "{{{{ again.output | upper | lower }}}}", ROOT: "{home}/data"}}}}
      - notify: "saw {{{{ incident.text }}}}"
      - edit_config: {{path: "{home}/data/config.json", set: {{note: "{{{{ incident.text }}}}"}}}}
"""


def test_a_hostile_log_line_never_runs_and_never_renders(cli):
    marker = cli.home / "marker"
    line = HOSTILE.format(marker=marker)
    cli.write("app.log", f"ERR {line}\n")
    cli.write("data/config.json", "{}\n")
    book = cli.write("hostile.yaml", ECHO.format(home=cli.home, python=sys.executable))
    ran = cli.json("apply", book)
    assert ran.incidents["line"]["state"] == "cured", json.dumps(ran.incidents, indent=1)
    data = cli.home / "data"
    assert (data / "argv").read_text() == f"x {line}"
    assert (data / "env").read_text() == line
    assert (data / "twice").read_text().strip() == line.lower()
    assert json.loads((data / "config.json").read_text()) == {"note": line}
    assert not marker.exists()
    assert "49" not in ran.out.replace(str(cli.home), "").split("saw")[-1][:200] or "7*7" in ran.out


def test_host_text_that_would_be_an_option_is_refused(cli):
    cli.write("app.log", "ERR -rf\n")
    book = cli.write(
        "o.yaml",
        f"""
name: o
detectors:
  - name: line
    log: {{paths: "{cli.home}/app.log", patterns: 'ERR (?P<text>.+)', from: start}}
    verify: {{for: 100ms, within: 2s}}
    recover: [{{command: {{argv: [/bin/echo, "{{{{ incident.text }}}}"]}}}}]
""",
    )
    ran = cli.json("apply", book)
    [step] = ran.incidents["line"]["steps"]
    assert (ran.exit_code, step["state"]) == (2, "refused")
    assert "option" in step["error"]


def test_host_text_in_a_script_does_not_lint(cli):
    book = cli.write(
        "s.yaml",
        f"""
name: s
detectors:
  - name: line
    log: {{paths: "{cli.home}/app.log", patterns: 'ERR (?P<text>.+)'}}
    verify: {{for: 100ms, within: 2s}}
    recover: [{{shell: {{script: 'echo {{{{ incident.text | lower }}}}'}}}}]
""",
    )
    ran = cli("apply", book)
    assert ran.exit_code == 1
    assert "script" in ran.err


def test_a_path_made_of_host_text_must_lie_in_writable(cli):
    cli.write("app.log", "ERR ../../etc\n")
    book = cli.write(
        "p.yaml",
        f"""
name: p
writable: ["{cli.home}/data"]
detectors:
  - name: line
    log: {{paths: "{cli.home}/app.log", patterns: 'ERR (?P<text>.+)', from: start}}
    mode: auto
    verify: {{for: 100ms, within: 2s}}
    recover: [{{clear_cache: "{cli.home}/data/{{{{ incident.text }}}}"}}]
""",
    )
    (cli.home / "data").mkdir()
    ran = cli.json("apply", book)
    assert ran.incidents["line"]["steps"][0]["state"] == "refused"


@pytest.mark.parametrize("path", ["/", "..", "link/x", "hard"])
@pytest.mark.parametrize(
    "step", ["clear_cache: {{path: {path}}}", "chown: {{path: {path}, mode: '0600', recursive: true}}"]
)
def test_what_lies_outside_writable_is_refused(cli, tree, step, path):
    data, outside = cli.home / "data", cli.home / "outside"
    data.mkdir()
    (outside / "x").mkdir(parents=True)
    (outside / "x" / "keep").write_text("keep")
    (data / "link").symlink_to(outside)
    (data / "hard").mkdir()
    os.link(outside / "x" / "keep", data / "hard" / "keep")
    full = "/" if path == "/" else f"{data}/{path}"
    book = cli.write(
        "w.yaml",
        f"""
name: w
writable: ["{data}"]
vars: {{p: /nowhere}}
detectors:
  - name: always
    file: {data}
    when: exists
    mode: auto
    verify: {{within: 1s}}
    recover: [{{{step.format(path='"{{ p }}"')}}}]
""",
    )
    before = tree(outside)
    ran = cli.json("apply", book, "-e", f"p={full}")
    if ran.exit_code != 1:  # lint refuses what it can see by itself
        states = [one["state"] for one in ran.incidents["always"]["steps"]]
        allowed = ["refused", "failed", *(["done"] if path == "hard" and step.startswith("clear") else [])]
        assert states[0] in allowed, ran.out
    assert (outside / "x" / "keep").read_text() == "keep"
    assert {name: seen[:3] for name, seen in tree(outside).items()} == {name: seen[:3] for name, seen in before.items()}


def test_an_unwritable_journal_is_a_message(cli):
    book = cli.write("h.yaml", "name: h\ndetectors:\n  - {name: f, file: /etc/passwd, when: not exists}\n")
    (cli.home / "dir").mkdir()
    for journal in (cli.home / "dir", Path("/proc/x/journal.db"), cli.home / "h.yaml"):
        ran = cli("apply", book, "--journal", journal)
        assert ran.exit_code == 1, ran
        assert str(journal) in ran.err


def test_it_works_beside_somebodys_own_folders_of_the_same_names(cli):
    for name in ("engine", "modules", "runbooks", "schemas"):
        cli.write(f"{name}/__init__.py", "raise RuntimeError('not mine')\n")
    cli.write("runbook.yaml", "name: mine\ndetectors:\n  - {name: f, file: /etc/passwd, when: not exists}\n")
    ran = cli("apply", "runbook.yaml")
    assert ran.exit_code == 0, ran.err


def test_an_agent_that_is_killed_in_the_middle_of_a_step_is_started_again_and_asked_how_it_ended(cli):
    ran = cli.home / "ran"
    book = cli.write(
        "k.yaml",
        f"""
name: k
operations:
  - {{name: kill, shell: {{script: 'echo ran >> {ran}; kill -9 $(ps -o ppid= -p $PPID)'}}, timeout: 5s}}
detectors:
  - {{name: f, file: /etc/passwd, when: not exists}}
""",
    )
    told = cli.json("apply", book)
    assert (told.exit_code, ran.read_text()) == (0, "ran\n"), told.out


def test_ctrl_c_waits_for_the_step_in_hand_and_exits_130(cli):
    import subprocess

    marker = cli.home / "data" / "done"
    book = cli.write(
        "c.yaml",
        f"""
name: c
detectors:
  - name: always
    file: /etc/passwd
    when: exists
    mode: auto
    recover:
      - shell: {{script: 'touch "$D.begun"; sleep 1.5; touch "$D"', env: {{D: "{marker}"}}}}
      - shell: {{script: 'touch "$D.next"', env: {{D: "{marker}"}}}}
""",
    )
    marker.parent.mkdir()
    begun, after = marker.with_name("done.begun"), marker.with_name("done.next")
    child = subprocess.Popen(
        [sys.executable, "-m", "runbook", "apply", str(book)],
        env=cli.env,
        cwd=cli.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    end = time.monotonic() + 20
    while not begun.exists() and time.monotonic() < end:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 130, (out, err)
    assert marker.exists()
    assert not after.exists()
    assert b"Traceback" not in err


def test_tags_that_nothing_bears_and_variables_that_nothing_uses_are_refused(cli, files):
    for words in (["-t", "nosuch"], ["-t", ","], ["-e", "nosuch=1"]):
        ran = cli("apply", files, *words)
        assert ran.exit_code == 1, ran
        assert ran.err.startswith("error: ")


def test_a_secret_is_not_taken_from_the_command_line_and_is_shown_nowhere(cli):
    book = cli.write(
        "s.yaml",
        """
name: s
secrets: {token: {env: NOT_SET_ANYWHERE}}
operations:
  - {name: use, shell: {script: 'echo "got $TOKEN"; echo "$TOKEN" >&2; exit 3', env: {TOKEN: "{{ secrets.token }}"}}, timeout: 9s}
""",
    )
    assert "NOT_SET_ANYWHERE" in cli("apply", book).err
    refused = cli("apply", book, "-e", "token=hush-hush-42")
    assert (refused.exit_code, "hush" in refused.err) == (1, False)
    given = cli.write("secret.yaml", "token: hush-hush-42\n")
    ran = cli("apply", book, "-e", f"@{given}", "-v")
    assert ran.exit_code == 2
    assert "got ***" in ran.out + ran.err
    assert "hush" not in ran.out + ran.err
    for file in cli.home.rglob("*"):
        if file.is_file() and file != given:
            assert b"hush-hush" not in file.read_bytes(), file


def test_two_passes_of_a_runbook_never_run_at_once(cli):
    import subprocess

    book = cli.write(
        "slow.yaml",
        f"""
name: slow
detectors:
  - name: always
    file: /etc/passwd
    when: exists
    mode: auto
    verify: {{within: 1s}}
    recover: [{{shell: {{script: 'echo x >> "$D/ran"; sleep 1.5', env: {{D: "{cli.home}"}}}}}}]
""",
    )
    first = subprocess.Popen(
        [sys.executable, "-m", "runbook", "apply", str(book)],
        env=cli.env,
        cwd=cli.home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 20
    while not (cli.home / "ran").exists() and time.monotonic() < end:
        time.sleep(0.02)
    second = cli("apply", book)
    first.wait(timeout=20)
    assert second.exit_code == 3
    assert "another pass of `slow` is at work" in second.err
    assert (cli.home / "ran").read_text() == "x\n"


def test_a_line_that_a_wrong_condition_could_not_judge_is_judged_when_it_is_mended(cli):
    text = f"""
name: l
detectors:
  - name: line
    log: {{{{paths: "{cli.home}/app.log", patterns: '(?P<what>ERR|WARN) .*', from: start}}}}
    when: what == 'ERR' and {{condition}}
    verify: {{{{for: 100ms, within: 2s}}}}
    recover: [{{{{command: [touch, "{cli.home}/done"], limit: 3 per 1h}}}}]
vars: {{{{settings: {{{{known: 1}}}}}}}}
"""
    cli.write("app.log", "ERR x\n")
    book = cli.write("l.yaml", text.format(condition="settings.knwon == 1"))
    first = cli("apply", book)
    assert first.exit_code in (1, 4)
    book.write_text(text.format(condition="settings.known == 1"))
    assert cli.json("apply", book).incidents["line"]["state"] == "cured"
    assert (cli.home / "done").exists()


SEQUENCE = """
name: sequence
detectors:
  - {{name: first, file: "{home}/a", when: not exists}}
  - {{name: second, file: "{home}/b", when: not exists}}
  - name: in order
    sequence: [first, second]
    within: 5m
"""


def test_a_sequence_goes_on_from_pass_to_pass_while_its_first_member_holds(cli):
    book = cli.write("sequence.yaml", SEQUENCE.format(home=cli.home))
    for name in ("a", "b"):
        (cli.home / name).touch()
    assert cli("apply", book).exit_code == 0
    (cli.home / "a").unlink()
    assert cli("apply", book).exit_code == 0
    (cli.home / "b").unlink()
    assert cli.json("apply", book).incidents["in order"]["state"] == "open"


def test_a_sequence_in_the_other_order_does_not_fire(cli):
    book = cli.write("sequence.yaml", SEQUENCE.format(home=cli.home))
    (cli.home / "a").touch()
    assert cli("apply", book).exit_code == 0
    (cli.home / "a").unlink()
    assert cli("apply", book).exit_code == 0

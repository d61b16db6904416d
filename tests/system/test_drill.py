"""`runbook drill` on what can't be healed, can't be seen, can't be shown; what it leaves behind, and what it can't touch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import own_modules as own
import psutil
import pytest
from drilling import drills, needed  # noqa: F401 -- a fixture

pytestmark = needed

GONE = {"name": "flag gone", "file": "{{ root }}/flag", "when": "not exists"}
TAKEN = {"name": "somebody takes the flag", "detector": "flag gone", "inject": {"remove": "flag"}}
FLAG = {"files": {"flag": "x"}}
RESTORED = [{"command": {"argv": ["touch", "{{ incident.path }}"], "creates": "{{ incident.path }}"}}]


def healing(steps=None, **more):
    return {**GONE, "recover": steps or RESTORED, "verify": {"within": "1s"}, **more}


def test_a_fault_that_is_seen_and_healed_is_exit_0_with_its_times(drills):  # noqa: F811
    done = drills.run("drill", drills.write([healing()], [TAKEN], given=FLAG))
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].split() == ["fault", "seen", "by", "seen", "healed", "verdict"]
    [line] = [line for line in done.stdout.splitlines() if "somebody takes" in line]
    assert line.startswith("✔")
    assert line.endswith("healed")
    assert "1 healed" in done.stdout


def test_a_runbook_that_cannot_heal_is_exit_2_and_says_why(drills):  # noqa: F811
    code, faults = drills.drill([healing([{"command": {"argv": ["false"]}}])], [TAKEN], given=FLAG)
    found = faults["somebody takes the flag"]
    assert (code, found["verdict"], found["state"]) == (2, "not healed", "unhealed")
    assert "exit code 1" in found["reason"]
    assert found["seen_after_s"] is not None
    assert found["healed_after_s"] is None


def test_a_cure_that_changes_nothing_is_not_believed(drills):  # noqa: F811
    code, faults = drills.drill([healing([{"command": {"argv": ["true"]}}])], [TAKEN], given=FLAG)
    assert (code, faults["somebody takes the flag"]["verdict"]) == (2, "not healed")


def test_a_detector_that_does_not_see_is_exit_2_with_what_it_saw(drills):  # noqa: F811
    blind = healing(when="exists and size > 3MB")
    done = drills.run("drill", drills.write([blind], [TAKEN], given=FLAG, within="1s"))
    assert done.returncode == 2
    assert "not seen" in done.stdout
    assert "the last look saw exists false" in done.stdout


def test_what_fires_before_the_fault_is_noise(drills):  # noqa: F811
    other = {"name": "always", "file": "{{ root }}/flag", "when": "exists"}
    code, faults = drills.drill([healing(), other], [TAKEN], given=FLAG)
    assert (code, faults["somebody takes the flag"]["verdict"]) == (2, "noisy")
    assert "`always` fires before the fault is there" in faults["somebody takes the flag"]["reason"]


def test_a_detector_that_is_called_undrilled_is_not_looked_at(drills):  # noqa: F811
    other = {"name": "always", "file": "{{ root }}/flag", "when": "exists"}
    done = drills.run("drill", drills.write([healing(), other], [TAKEN], given=FLAG, undrilled={"always": "it is so"}))
    assert done.returncode == 0
    assert "not drilled: always" in done.stdout


def test_a_failure_that_its_detector_does_not_match_is_told_as_it_was(drills):  # noqa: F811
    fetch = {"name": "fetch", "http_request": "http://127.0.0.1:20000/x", "timeout": "9s"}
    detector = {"name": "gated", "error": "401|Gated", "retry": False}
    fault = {
        "name": "it fails",
        "detector": "gated",
        "inject": {"server": {"hub": {"status": 500, "body": "it burns"}}},
    }
    began = time.monotonic()
    code, faults = drills.drill(
        [detector], [fault], given={"servers": {"hub": None}}, top={"operations": [fetch]}, within="5m"
    )
    assert (code, faults["it fails"]["verdict"]) == (2, "not seen")
    assert "it burns" in faults["it fails"]["reason"]
    assert time.monotonic() - began < 60  # no other attempt was to be waited for


def test_other_steps_than_expected_are_exit_2(drills):  # noqa: F811
    steps = [{"name": "mend", **RESTORED[0]}, {"name": "look away", "command": {"argv": ["true"]}}]
    fault = {**TAKEN, "steps": ["mend"]}
    code, faults = drills.drill([healing(steps)], [fault], given=FLAG)
    assert (code, faults[TAKEN["name"]]["verdict"]) == (2, "other steps")
    assert faults[TAKEN["name"]]["reason"] == "took mend, look away; expected mend"


def test_what_waits_for_a_person_waits_and_with_approve_is_healed(drills):  # noqa: F811
    waiting = healing(mode="approve")
    faults = [{**TAKEN, "expect": "waiting"}, {**TAKEN, "name": "and a person approves", "approve": True}]
    code, found = drills.drill([waiting], faults, given=FLAG)
    assert code == 0
    assert [each["verdict"] for each in found.values()] == ["as expected", "healed"]


def test_who_waits_where_a_cure_is_expected_is_not_waited_for(drills):  # noqa: F811
    began = time.monotonic()
    code, found = drills.drill([healing(mode="approve")], [TAKEN], given=FLAG, within="10m")
    assert (code, found[TAKEN["name"]]["state"]) == (2, "waiting")
    assert time.monotonic() - began < 60


def test_a_hold_is_waited_for_unless_the_drill_says_now(drills):  # noqa: F811
    faults = [{**TAKEN, "name": "held"}, {**TAKEN, "name": "now", "now": True}]
    code, found = drills.drill([healing(**{"for": "2s"})], faults, given=FLAG)
    assert code == 0
    assert found["held"]["seen_after_s"] >= 2
    assert found["now"]["seen_after_s"] < found["held"]["seen_after_s"]


def test_each_fault_has_a_fresh_place(drills):  # noqa: F811
    faults = [{**TAKEN, "name": f"for the {number}. time"} for number in range(2)]
    code, found = drills.drill([healing(limit="1 per 1h")], faults, given=FLAG)
    assert (code, [each["verdict"] for each in found.values()]) == (0, ["healed", "healed"])


def test_only_some_faults_are_drilled(drills):  # noqa: F811
    faults = [TAKEN, {**TAKEN, "name": "another"}]
    code, found = drills.drill([healing()], faults, "--only", "*takes*", given=FLAG)
    assert (code, list(found)) == (0, ["somebody takes the flag"])
    done = drills.run("drill", "drilled", "--only", "no such", "--list")
    assert done.returncode == 1
    done = drills.run("drill", "drilled.yaml", "--only", "no such")
    assert (done.returncode, "no fault is named like 'no such'" in done.stderr) == (1, True)


def test_the_list_shows_detectors_without_a_fault_and_a_dry_run_what_would_be_done(drills):  # noqa: F811
    bare = {"name": "nobody breaks this", "file": "{{ root }}/flag", "when": "not exists"}
    runbook = drills.write([healing(), bare], [TAKEN], given=FLAG)
    listed = drills.run("drill", runbook, "--list")
    assert listed.returncode == 0
    assert "somebody takes the flag" in listed.stdout
    assert "no fault  nobody breaks this" in listed.stdout
    dry = drills.run("drill", runbook, "--dry-run")
    assert "given   file /drill/flag" in dry.stdout
    assert "inject  remove flag" in dry.stdout
    assert drills.run("drill", runbook, "--dry-run", "--format", "json").stdout.startswith("{")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"needs": "no-such-program"}, "it needs the program `no-such-program`"),
        ({"given": {"daemons": {"ill": {"start": ["sh", "-c", "echo I am ill; exit 3"], "ready": {"file": "up"}}}}},
         "the daemon `ill` ended at once: I am ill"),
        ({"given": {"daemons": {"none": {"start": ["/no/such"]}}}}, "/no/such can't be started: No such file"),
        ({"given": {"run": ["false"]}}, "`false` ended with exit code 1"),
        ({"inject": {"remove": "no/such"}}, "remove no/such: No such file or directory"),
        ({"inject": {"kill": {"match": "no such process"}}}, "no process matches"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)  # fmt: skip
def test_what_could_not_be_shown_is_said_and_is_exit_2(more, told, drills):  # noqa: F811
    code, faults = drills.drill([healing()], [{**TAKEN, **more}], given=FLAG)
    assert (code, faults[TAKEN["name"]]["verdict"]) == (2, "not shown")
    assert told in faults[TAKEN["name"]]["reason"]


@pytest.mark.root
def test_without_namespaces_nothing_is_shown_and_it_says_what_is_needed(drills):  # noqa: F811
    runbook = drills.write([healing()], [TAKEN], given=FLAG)
    script = 'echo 0 > /proc/sys/user/max_mnt_namespaces; exec "$@"'
    argv = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", *drills.argv("drill", runbook)]
    done = subprocess.run(
        argv, cwd=drills.home, env=drills.env, capture_output=True, text=True, timeout=60, check=False
    )
    if "unshare" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 2
    assert "not shown" in done.stdout
    assert "run it as root" in done.stdout


OUT = """
import os, signal, socket, sys
out = sys.argv[1]
def tried(what, do):
    try:
        do()
    except OSError:
        return
    sys.exit(f"{what} was possible")
tried("a file outside", lambda: open(f"{out}/written", "w"))
tried("a mode outside", lambda: os.chmod(f"{out}/own", 0o777))
tried("deleting outside", lambda: os.unlink(f"{out}/own"))
tried("a setting of the kernel", lambda: open("/proc/sys/kernel/hostname", "w").write("drilled"))
tried("a request to the kernel", lambda: open("/proc/sysrq-trigger", "w").write("h"))
tried("a disk", lambda: os.mknod(f"{os.environ['TMPDIR']}/disk", 0o60600, os.makedev(254, 0)))
tried("a server of the machine", lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2])), 2))
tried("a socket of the machine", lambda: socket.socket(socket.AF_UNIX).connect(sys.argv[3]))
tried("a process of the machine", lambda: os.kill(int(sys.argv[4]), 0))
open("/dev/kmsg", "a").write("drilled-a-line\\n")
open("{{ scratch }}/tried", "w").close()
"""


@pytest.mark.root
def test_nothing_outside_of_the_scratch_place_can_be_touched(drills, tmp_path, tree):  # noqa: F811
    import socket

    outside = drills.home / "outside"  # beside the runbook, so it is seen in the place
    outside.mkdir()
    (outside / "own").write_text("mine", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        path = f"/run/drill-test-{os.getpid()}"
        local.bind(path)
        local.listen()
        try:
            port = str(server.getsockname()[1])
            hostile = ["python3", "{{ root }}/hostile.py", str(outside), port, path, str(os.getpid())]
            step = {"command": {"argv": hostile, "creates": "{{ root }}/flag"}}
            given = {"files": {"flag": "x", "hostile.py": OUT}}
            reached = subprocess.run(["python3", "-c", OUT, *hostile[2:]], capture_output=True, text=True, check=False)
            assert reached.stderr == "a file outside was possible\n"  # so what follows is the place's doing
            before = tree(outside), tree(drills.home)
            detector = healing([step, *RESTORED])
            code, faults = drills.drill([detector], [TAKEN], given=given)
        finally:
            Path(path).unlink()
    assert (code, faults[TAKEN["name"]]["verdict"]) == (0, "healed"), faults
    after = tree(drills.home)
    assert after.keys() - before[1].keys() == {"drilled.yaml", "drilled.drill.yaml"}
    assert tree(outside) == before[0]
    said = subprocess.run(["dmesg"], capture_output=True, text=True, check=False).stdout
    assert "drilled-a-line" not in said


ESCAPE = """
import ctypes, os, re, socket, stat, sys
beside, temporary, root = sys.argv[1:]
def tried(what, do):
    try:
        do()
    except OSError:
        return
    sys.exit(f"{what} was possible")
def held(process):  # 0 when it has ended
    try:
        return int(re.search("CapEff:\\\\t(.*)", open(f"/proc/{process}/status").read())[1], 16)
    except FileNotFoundError:
        return 0
mounting = [int(one) for one in os.listdir("/proc") if one.isdigit() and held(one) >> 21 & 1]
assert 1 in mounting and os.getpid() not in mounting, mounting
libc = ctypes.CDLL(None, use_errno=True)
for one in mounting:
    tried(f"the memory of {one}", lambda: open(f"/proc/{one}/mem", "r+b"))
    tried(f"the root of {one}", lambda: os.listdir(f"/proc/{one}/root/"))
    if libc.ptrace(0x4206, one, None, None) == 0:  # PTRACE_SEIZE: it goes on, and is let go when we end
        sys.exit(f"tracing {one} was possible")
tried("a socket of /tmp", lambda: socket.socket(socket.AF_UNIX).connect(temporary))
tried("a socket beside the runbook", lambda: socket.socket(socket.AF_UNIX).connect(f"{beside}/socket"))
assert os.path.lexists(f"{beside}/socket"), "it was not even there"
tried("a mode of a device", lambda: os.chmod("/dev/null", 0o666))
if root == "root":
    assert not stat.S_ISFIFO(os.stat(f"{beside}/pipe").st_mode), "a pipe was there"
open("/tmp/own", "w").close()
open("/var/tmp/own", "w").close()
open("/dev/null", "w").write("x")
"""


@pytest.mark.root
@pytest.mark.parametrize("who", ["root", "user"])
def test_nobody_in_the_place_can_act_in_the_name_of_who_may_mount_or_speak_to_the_machine(drills, who):  # noqa: F811
    import socket

    beside, temporary = drills.home / "beside", f"/tmp/drill-test-{os.getpid()}"
    beside.mkdir()
    os.mkfifo(beside / "pipe")
    pipe = os.open(beside / "pipe", os.O_RDWR)
    here = Path.cwd()
    try:
        with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
            first.bind(temporary)
            first.listen()
            os.chdir(beside)
            second.bind("/proc/self/cwd/socket" if len(str(beside)) > 90 else str(beside / "socket"))
            second.listen()
            step = {"command": {"argv": ["python3", "{{ root }}/escape.py", str(beside), temporary, who],
                                "creates": "{{ root }}/flag"}}  # fmt: skip
            given = {"files": {"flag": "x", "escape.py": ESCAPE}}
            runbook = drills.write([healing([step, *RESTORED])], [TAKEN], given=given)
            argv = drills.argv("drill", runbook, "--format", "json")
            if who == "user":
                argv = ["unshare", "--user", "--map-user=4711", "--map-group=4711", *argv]
            done = subprocess.run(argv, cwd=drills.home, env=drills.env, capture_output=True, text=True, timeout=90,
                                  check=False)  # fmt: skip
    finally:
        os.chdir(here)
        os.close(pipe)
        Path(temporary).unlink()
    if done.stderr.startswith("unshare"):
        pytest.skip(done.stderr)
    [fault] = json.loads(done.stdout)["faults"]
    assert (done.returncode, fault["verdict"]) == (0, "healed"), fault


def started(drills, mark):  # noqa: F811
    """Start a drill that lasts, and wait until its daemon runs."""
    given = {**FLAG, "daemons": {"sleeper": {"start": ["python3", "-c", "import time; time.sleep(300)", mark]}}}
    stays = healing([{"command": {"argv": ["sleep", "300"]}}])
    runbook = drills.write([stays], [TAKEN], given=given, within="5m")
    running = subprocess.Popen(
        drills.argv("drill", runbook), cwd=drills.home, env=drills.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 60
    while not ours(mark) and time.monotonic() < until:
        time.sleep(0.05)
    assert ours(mark)
    time.sleep(1)
    return running


def ours(mark, *, within=0.0):
    """What of a drill still lives, after so long at the latest."""
    until = time.monotonic() + within
    while True:
        found = [
            process.pid
            for process in psutil.process_iter(["cmdline", "status"])
            if mark in " ".join(process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE
        ]
        if not found or time.monotonic() >= until:
            return found
        time.sleep(0.05)


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda one: one.name
)
def test_a_drill_that_is_ended_leaves_nothing_behind(number, drills, tmp_path):  # noqa: F811
    mark = f"mark-of-{tmp_path.name}"
    running = started(drills, mark)
    family = [running, *psutil.Process(running.pid).children(recursive=True)]
    assert len(family) > 5
    running.send_signal(number)
    running.communicate(timeout=30)
    assert ours(mark, within=10) == []
    _, alive = psutil.wait_procs([one for one in family if isinstance(one, psutil.Process)], timeout=10)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
    assert "/drill" not in Path("/proc/self/mounts").read_text(encoding="utf-8")
    assert not Path("/drill").exists()
    assert sorted(one.name for one in drills.home.iterdir()) == ["drilled.drill.yaml", "drilled.yaml"]
    if number is signal.SIGINT:
        assert running.returncode == 130


def test_what_the_keeper_of_a_place_dies_of_ends_all_the_same(drills, tmp_path):  # noqa: F811
    mark = f"mark-of-{tmp_path.name}"
    running = started(drills, mark)
    [keeper] = psutil.Process(running.pid).children()
    keeper.kill()
    out, _ = running.communicate(timeout=30)
    assert running.returncode == 2
    assert "its process ended without a word" in out
    assert ours(mark, within=10) == []


@pytest.mark.parametrize(
    ("runbook", "drill", "told"),
    [
        ({}, {"vars": {"root": "/srv/llm"}}, "the runbook may write in /srv/llm, which lies outside the scratch place"),
        ({"detectors": [{"name": "flag gone", "daemon": {"unit": "vllm"}, "when": "not alive"}]}, {},
         "the unit `vllm` of `flag gone` would be one of this machine's services"),
        ({"detectors": [healing([{"restart_daemon": {"unit": "/run/vllm.pid", "start": ["vllm"]}}])]}, {},
         "the unit `/run/vllm.pid` of `restart_daemon` lies outside the scratch place"),
        ({}, {"given": {"files": {"../etc/passwd": "x"}}}, "../etc/passwd lies outside the scratch place"),
        ({}, {"faults": [{**TAKEN, "inject": {"remove": "/etc/passwd"}}]}, "/etc/passwd lies outside the scratch place"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)  # fmt: skip
def test_a_drill_that_would_reach_out_is_refused(runbook, drill, told, drills):  # noqa: F811
    faults = drill.pop("faults", [TAKEN])
    drills.write(runbook.pop("detectors", [GONE]), faults, **{"given": FLAG, **drill})
    for words in (["drill", "drilled.yaml"], ["lint", "drilled.drill.yaml"]):
        done = drills.run(*words)
        assert done.returncode == 1
        assert told in " ".join((done.stdout + done.stderr).split())


def test_without_a_drill_beside_it_there_is_a_hint(drills):  # noqa: F811
    drills.write([GONE], [TAKEN])
    (drills.home / "drilled.drill.yaml").unlink()
    done = drills.run("drill", "drilled.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert "write drilled.drill.yaml" in done.stderr


def test_secrets_are_made_up_and_never_asked_of_this_machine(drills):  # noqa: F811
    shell = {"shell": {"script": 'test "$TOKEN" = secret-token && touch "$FLAG"',
                       "env": {"TOKEN": "{{ secrets.token }}", "FLAG": "{{ incident.path }}"}}, "mode": "auto"}  # fmt: skip
    top = {"secrets": {"token": {"env": "NO_SUCH_VARIABLE"}}}
    code, faults = drills.drill([healing([shell])], [TAKEN], given=FLAG, top=top)
    assert (code, faults[TAKEN["name"]]["verdict"]) == (0, "healed"), faults


def test_steps_of_ones_own_are_drilled_too(drills):  # noqa: F811
    own.write(drills.home / "runbook_modules", "step", "raise_flag")
    raised = healing([{"raise_flag": {"path": "{{ incident.path }}"}}])
    code, faults = drills.drill([raised], [TAKEN], given=FLAG)
    assert (code, faults[TAKEN["name"]]["steps"]) == (0, ["raise_flag"]), faults


def test_the_document_says_everything(drills):  # noqa: F811
    done = drills.run("drill", drills.write([healing()], [TAKEN], given={**FLAG, "gpus": 1}), "--format", "json")
    document = json.loads(done.stdout)
    assert document["schema"] == 1
    assert document["exit_code"] == 0
    assert Path(document["runbook"]).name == "drilled.yaml"
    [fault] = document["faults"]
    assert fault["steps"] == ["command"]
    assert fault["faked"] == ["GPUs"]
    assert 0 <= fault["seen_after_s"] <= fault["healed_after_s"] < fault["duration_s"]


NAMES = "import socket; socket.getaddrinfo(socket.gethostname(), 80, socket.AF_INET, 0, 0, socket.AI_ADDRCONFIG)"


def test_the_place_has_the_path_of_who_drills_and_an_address_for_its_own_name(drills):  # noqa: F811
    drills.env = {**drills.env, "PATH": f"/opt/of-who-drills/bin:{os.environ['PATH']}"}
    script = f"case :$PATH: in *:/opt/of-who-drills/bin:*) python3 -c '{NAMES}' && rm flag;; esac"
    fault = {**TAKEN, "inject": {"run": ["sh", "-c", script]}}
    code, faults = drills.drill([healing()], [fault], given=FLAG)
    assert (code, faults["somebody takes the flag"]["verdict"]) == (0, "healed")


def test_a_step_that_was_skipped_is_none_that_was_taken(drills):  # noqa: F811
    steps = [{"name": "not this one", "command": ["false"], "when": "incident.path == ''"}, RESTORED[0]]
    code, faults = drills.drill([healing(steps)], [{**TAKEN, "steps": ["command"]}], given=FLAG)
    assert (code, faults["somebody takes the flag"]["verdict"]) == (0, "healed")

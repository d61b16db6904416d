"""What is laid in a log probe's way, by accident or on purpose: it ends in time, in bounded memory, and says why."""

import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from log_watch import Watch, write

from runbook.engine.fleet import Spec, local
from runbook.engine.model import NotSeen, Seen
from runbook.modules.declare import Unclear
from runbook.modules.logs import assembling, match, tail, tracebacks
from runbook.modules.logs.tracebacks import TooMuch

PROBE = """
import resource, sys
from runbook.modules.host import Host
from runbook.modules.probes.log import Log
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
host, found, looks = Host(), 0, 0
while not looks or host.kept.get("behind"):
    host = Host(remembered=host.kept)
    found += len(list(Log((sys.argv[1],), ("line [0-9]",), from_="start").look(host)))
    looks += 1
print(found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)
"""


def probed(path):
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(path)], check=True, capture_output=True, text=True, timeout=120
    )
    return tuple(map(int, done.stdout.split()))


def test_a_line_of_a_gigabyte_takes_no_memory_and_little_time(tmp_path):
    log = tmp_path / "x.log"
    with log.open("wb") as file:
        file.write(b"line 1 ")
        file.truncate(1 << 30)  # sparse, but read as any other bytes
        file.seek(1 << 30)
        file.write(b"\nline 2\n")
    begun = time.monotonic()
    found, grown = probed(log)
    assert found == 2
    assert grown < 30_000  # KiB
    assert time.monotonic() - begun < 60


def test_noise_is_read_through(tmp_path):
    log = tmp_path / "x.log"
    log.write_bytes(os.urandom(8 << 20) + b"\nline 1\n" + bytes(range(256)) * 1000 + b"\nline 2\n")
    found, grown = probed(log)
    assert found >= 2
    assert grown < 60_000


def test_lines_of_one_byte_take_bounded_memory(tmp_path):
    log = tmp_path / "x.log"
    log.write_bytes(b"\n\r" * (8 << 20) + b"line 1\n")
    found, grown = probed(log)
    assert found == 1
    assert grown < 60_000


def test_headers_of_tracebacks_alone_take_bounded_time(tmp_path):
    log = tmp_path / "x.log"
    log.write_bytes(b"Traceback (most recent call last):\n  x\n" * 100_000 + b"line 1\n")
    begun = time.process_time()
    assert Watch(log, from_="start").numbers() == [1]
    assert time.process_time() - begun < 20


@pytest.mark.parametrize("kind", ["fifo", "device", "directory"])
def test_what_is_no_file_is_refused_with_its_reason_and_does_not_hang(tmp_path, kind):
    path = tmp_path / "x.log"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path = "/dev/zero"
    with local.connect(tmp_path / "agent") as agent:
        look = agent.probe([Spec("x", "log", {"paths": (str(path),), "patterns": ("line",)}, deadline=10.0)])["x"]
    assert isinstance(look, NotSeen)
    assert "is a directory" in look.reason or "is no file, so it is not read" in look.reason


def test_a_log_that_becomes_a_fifo_does_not_hang(tmp_path):
    log = tmp_path / "x.log"
    write(log, 1)
    watch = Watch(tmp_path / "*.log", from_="start")
    assert watch.numbers() == [1]
    log.unlink()
    os.mkfifo(log)
    for _ in range(2):
        assert watch.look() == []
        assert watch.state["trouble"] == f"{log} is no file, so it is not read"
    log.unlink()
    write(log, 2)
    assert watch.numbers() == [2]


def test_directories_that_lead_into_each_other_end(tmp_path):
    (tmp_path / "a").mkdir()
    for number in range(30):
        (tmp_path / "a" / f"loop{number}").symlink_to("..")
    write(tmp_path / "a" / "x.log", 1)
    assert Watch(tmp_path / "**" / "*.log", from_="start").numbers() == [1]
    (tmp_path / "self").symlink_to("self")
    with pytest.raises(Unclear, match="levels of symbolic links"):
        Watch(tmp_path / "self").look()


def test_an_expression_that_would_take_for_ever_is_cut_off_and_told(tmp_path):
    log = tmp_path / "x.log"
    log.write_bytes(b"line 1\n" + b"a" * 60 + b"!\nline 3\n")
    with local.connect(tmp_path / "agent") as agent:
        params = {"paths": (str(log),), "patterns": ("(a+)+$", "line"), "from": "start"}
        begun = time.monotonic()
        look = agent.probe([Spec("x", "log", params, deadline=20.0)])["x"]
    assert time.monotonic() - begun < 15
    assert isinstance(look, Seen)
    assert [record.fields["line_no"] for record in look.records] == [1, 3]
    said = f"{log}: 1 line was passed over that could not be matched in time by `(a+)+$`"
    assert look.state.get("trouble", said) == said  # where the engine itself takes no time, nothing is passed over


SEEN = """
import json, os, sys
from runbook.modules.host import Host
from runbook.modules.probes.log import Log
from runbook.modules.declare import Unclear
from runbook.modules.logs import assembling, tail, tracebacks
from runbook.modules.logs.tracebacks import TooMuch
probe, state = Log((sys.argv[1],), ("line [0-9]",)), {}
for _ in sys.stdin:
    host = Host(remembered=state)
    try:
        said = [record.line for record in probe.look(host)]
        state = host.kept
    except Unclear as error:
        said = str(error)
    print(json.dumps(said), flush=True)
"""


@pytest.mark.parametrize("what", ["file", "directory"])
def test_rights_that_vanish_are_told_and_what_was_written_meanwhile_is_read_when_they_are_back(what):
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        folder.chmod(0o755)
        log = folder / "x.log"
        log.write_text("line 1\n")
        argv = [sys.executable, "-c", SEEN, str(log)]
        if os.geteuid() == 0:
            argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *argv]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/") as watcher:

            def look():
                watcher.stdin.write("\n")
                watcher.stdin.flush()
                line = watcher.stdout.readline()
                if not line:
                    pytest.skip("this Python can't be run by another user")
                return json.loads(line)

            assert look() == []
            target = log if what == "file" else folder
            write(log, 2)
            target.chmod(0)
            assert look() == f"{log} can't be {'read' if what == 'file' else 'looked at'}: Permission denied"
            target.chmod(0o755)
            assert look() == ["line 2"]
            watcher.stdin.close()
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_look_holds_no_more_descriptors_than_it_needs(tmp_path):
    for number in range(300):
        write(tmp_path / f"{number}.log", number)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    watch = Watch(tmp_path / "*.log", from_="start")
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 20, hard))
    try:
        assert len(watch.numbers()) == 300
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


FORGED = [f"[p{n}] " + "12:00:00 " * 300 + "Traceback (most recent call last):\n" for n in range(700)]
NAMED = [f"[p{n}] " + "12:00:00 " * 20 + "Traceback (most recent call last):\n" for n in range(9000)]


@pytest.mark.parametrize("forged", [FORGED, NAMED], ids=["wide", "many"])
def test_forged_headers_of_tracebacks_blind_nobody(tmp_path, forged):
    log = tmp_path / "x.log"
    log.write_text("".join([*forged, "line 7\n"]))
    begun = time.process_time()
    assert Watch(log, from_="start").numbers() == [7]
    assert time.process_time() - begun < 8


def test_each_look_gets_on_where_joining_takes_too_long_and_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(assembling, "TIME", 0.0)
    log = tmp_path / "x.log"
    log.write_text("".join([*NAMED, "line 7\n"]))
    watch = Watch(log, from_="start")
    assert watch.numbers() == [7]
    assert watch.state["trouble"] == f"{log}: lines of tracebacks were taken one by one: to join them took too long"


def test_a_look_whose_time_is_up_leaves_the_block_to_the_next_one_and_loses_nothing(tmp_path, monkeypatch):
    asked, ready, left = itertools.count(), assembling.Assembly.ready, []
    mine, real = threading.get_ident(), time.monotonic

    def clock():  # it goes on when it is asked; the test runner's own threads ask the real one
        return next(asked) * 0.001 if threading.get_ident() == mine else real()

    def counting(*given, **more):
        try:
            return ready(*given, **more)
        except TooMuch:
            left.append(looks)
            raise

    monkeypatch.setattr(time, "monotonic", clock)
    monkeypatch.setattr(assembling, "TIME", 600.0)
    monkeypatch.setattr(tracebacks, "_SELDOM", 64)
    monkeypatch.setattr(assembling.Assembly, "ready", counting)
    monkeypatch.setattr(tail, "BUDGET", 0.05)
    monkeypatch.setattr(tail, "LEAST", 0.05)
    log = tmp_path / "x.log"
    log.write_text("".join(line for n, header in enumerate(NAMED) for line in (header, f"line {n}\n")))
    watch, found, looks = Watch(log, from_="start"), [], 0
    while not looks or watch.state["behind"]:
        before = watch.state.get("behind")
        found += watch.numbers()
        assert watch.state["behind"] != before
        assert "trouble" not in watch.state
        looks += 1
    assert found == list(range(len(NAMED)))
    assert left == list(range(len(left)))  # from the first look on each left a block, until what was left was short
    assert len(left) >= looks // 2


def test_making_the_patterns_ready_takes_nothing_of_the_time_for_reading(tmp_path, monkeypatch):
    made = match.matcher

    def slowly(*given):
        time.sleep(0.3)
        return made(*given)

    monkeypatch.setattr(match, "matcher", slowly)
    monkeypatch.setattr(tail, "BUDGET", 0.2)
    log = tmp_path / "x.log"
    write(log, 1)
    assert Watch(log, from_="start").numbers() == [1]


def test_an_endless_line_behind_a_traceback_without_an_end_takes_no_memory(tmp_path):
    log = tmp_path / "x.log"
    with log.open("wb") as file:
        file.write(b"Traceback (most recent call last):\n  x\nline 1 ")
        file.truncate(1 << 28)
        file.seek(1 << 28)
        file.write(b"\nline 2\n")
    found, grown = probed(log)
    assert found == 2
    assert grown < 40_000

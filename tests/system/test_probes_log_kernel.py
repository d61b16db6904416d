"""What the kernel says, as a source: real lines, a real out-of-memory kill, a start of the machine, who may not read it."""

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import ClassVar

import pytest

from runbook.engine.language.signatures import catalogue
from runbook.modules.declare import Absent, Unclear
from runbook.modules.host import Completed, Host
from runbook.modules.logs import kernel
from runbook.modules.probes.log import Log


def writable() -> bool:
    return os.access(kernel.DEVICE, os.R_OK | os.W_OK)


real = pytest.mark.skipif(not writable(), reason=f"{kernel.DEVICE} can't be written here")


@pytest.fixture
def mark():
    """A word that no other test writes."""
    return f"runbook-test-{uuid.uuid4().hex[:12]}"


def say(*lines):
    for line in lines:
        fd = os.open(kernel.DEVICE, os.O_WRONLY)
        os.write(fd, line.encode())
        os.close(fd)


class Watch:
    def __init__(self, *patterns, host=Host, from_="end", **options):
        self.probe = Log(patterns=patterns, kernel=True, from_=from_, **options)
        self.host = host
        self.state = {}

    def look(self):
        host = self.host(remembered=json.loads(json.dumps(self.state)))
        records = list(self.probe.look(host))
        self.state = host.kept
        return records

    def lines(self):
        return [record.line for record in self.look()]


@real
def test_a_line_of_the_kernel_comes_up_once_with_its_time_and_groups(mark):
    watch = Watch(mark + r".*Xid \((?P<pci>[^)]+)\): (?P<xid>\d+)")
    assert watch.look() == []
    say(f"<4>{mark} NVRM: Xid (PCI:0000:3b:00): 79, fallen off\n")
    [record] = watch.look()
    assert (record.path, record.line_no, record.xid, record.pci) == ("kernel", None, 79, "PCI:0000:3b:00")
    assert abs(record.time - Host().now()) < 60
    assert watch.look() == []


@real
def test_what_the_kernel_escapes_comes_back_as_it_was(mark):
    watch = Watch(mark)
    watch.look()
    say(f"<3>{mark} é \\ \x01 end\n")
    assert watch.lines() == [f"{mark} é \\ \x01 end"]


@real
def test_a_first_look_takes_in_what_is_wanted_of_this_start_of_the_machine(mark):
    say(f"<6>{mark} 1\n", f"<6>{mark} 2\n", f"<6>{mark} 3\n")
    assert Watch(mark).lines() == []
    assert Watch(mark, from_="start").lines() == [f"{mark} {n}" for n in (1, 2, 3)]
    assert Watch(mark, from_="since 10m").lines() == [f"{mark} {n}" for n in (1, 2, 3)]
    assert Watch(mark, from_="last 100 lines").lines()[-1] == f"{mark} 3"


@real
def test_after_a_start_of_the_machine_all_that_the_kernel_says_is_news(mark):
    watch = Watch(mark)
    watch.look()
    say(f"<6>{mark} of this start\n")
    watch.state["kernel"].update(boot="another start", number=10**9, seconds=1e9)
    assert watch.lines() == [f"{mark} of this start"]
    assert watch.look() == []


@real
def test_a_pattern_may_reach_over_lines_of_two_looks(mark):
    known = {
        "patterns": [["bus", rf"(?s){mark} The NVIDIA GPU (?P<pci>\S+).{{0,200}}?fallen off the bus", "root", 3, ""]]
    }
    watch = Watch(_catalogue=known, signatures=("bus",))
    watch.look()
    say(
        f"<3>{mark} The NVIDIA GPU 0000:b3:00.0\n",
        "<3>(PCI ID: 10de:26b5) installed in this system has\n",
        "<3>fallen off the bus\n",
    )
    [record] = watch.look()
    assert (record.signature, record.pci, record.role) == ("bus", "0000:b3:00.0", "root")


MEMORY = Path("/sys/fs/cgroup/memory")
LIMIT = MEMORY / "memory.limit_in_bytes"
GREED = "open({0!r}, 'w').write('0'); held = [bytearray(1 << 20) for _ in range(200)]"


@pytest.fixture
def narrow(mark):
    """A group of processes that may have 20 MB."""
    group = MEMORY / mark if LIMIT.exists() else Path("/sys/fs/cgroup") / mark
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if LIMIT.exists() else "memory.max")).write_text(str(20 << 20))
    except OSError as error:
        pytest.skip(f"no group of processes can be limited here: {error}")
    yield group
    group.rmdir()


@real
def test_a_real_out_of_memory_kill_is_one_record_with_all_that_its_report_says(narrow, mark):
    known = {"patterns": [[p.name, p.regex, p.role, p.lines, p.event] for p in catalogue().patterns(["kmsg.oom*"])]}
    watch = Watch(_catalogue=known, signatures=("kmsg.oom*",))
    watch.look()
    done = subprocess.run([sys.executable, "-c", GREED.format(str(narrow / "cgroup.procs"))], check=False)
    assert done.returncode == -9
    records = [
        record for record in watch.look() if mark in json.dumps([record.line, *vars(record).values()], default=str)
    ]
    assert len(records) == 1
    [record] = records
    assert record.pid > 1
    assert mark in record.task_memcg
    assert [other for other in watch.look() if mark in other.line] == []


def refused(*_):
    raise PermissionError(1, "Operation not permitted")


class Answering(Host):
    """A host on which programs answer what a test says."""

    programs: ClassVar[dict] = {}

    def which(self, program):
        return f"/bin/{program}" if program in self.programs else None

    def run(self, *argv, **_):
        answer = self.programs[argv[0]]
        return answer if isinstance(answer, Completed) else Completed(0, answer(argv))


@pytest.fixture
def denied(monkeypatch):
    monkeypatch.setattr(kernel, "DEVICE", "/dev/kmsg-that-is-not-ours")


def test_where_the_device_may_not_be_read_dmesg_is_asked(denied, monkeypatch):
    said = ["<6>[    1.000001] error 1\n"]
    monkeypatch.setattr(Answering, "programs", {"dmesg": lambda _: "".join(said)})
    watch = Watch("error", host=Answering)
    assert watch.lines() == []
    said.append("<4>[    2.000001] error 2\nerror goes on\n")
    assert watch.lines() == ["error 2", "error goes on"]
    assert watch.lines() == []


def test_where_the_device_may_not_be_read_the_journal_is_asked_first(denied, monkeypatch):
    entry = {"MESSAGE": "error 1", "_SOURCE_MONOTONIC_TIMESTAMP": "1000001", "__CURSOR": "x"}
    said = [json.dumps(entry) + "\n"]
    monkeypatch.setattr(
        Answering, "programs", {"journalctl": lambda _: "".join(said), "dmesg": lambda _: "<1>[9.000000] no"}
    )
    watch = Watch("error", host=Answering)
    assert watch.lines() == []
    said.append(json.dumps({**entry, "MESSAGE": "error 2", "_SOURCE_MONOTONIC_TIMESTAMP": "2000001"}) + "\n")
    assert watch.lines() == ["error 2"]


def test_where_nobody_may_read_it_the_look_is_unclear_and_says_why(denied, monkeypatch):
    monkeypatch.setattr(
        Answering,
        "programs",
        {"dmesg": Completed(1, "", "dmesg: read kernel buffer failed: Operation not permitted\n")},
    )
    said = "read kernel buffer failed: Operation not permitted): look as root, or let the user read the journal"
    with pytest.raises(Unclear, match=re.escape(said)):
        Watch("error", host=Answering).look()


def test_a_host_without_any_of_them_lacks_it(denied, monkeypatch):
    monkeypatch.setattr(Answering, "programs", {})
    with pytest.raises(Absent, match="no journalctl and no dmesg here"):
        Watch("error", host=Answering).look()


@real
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_user_who_may_not_read_the_device_hears_so_or_is_answered_by_another_way():
    script = (
        "from runbook.modules.host import Host; from runbook.modules.probes.log import Log\n"
        "from runbook.modules.declare import Unclear\n"
        "from runbook.modules.logs import kernel\n"
        "kernel.DEVICE = '/dev/mem'\n"  # whom rights keep out here as they do from kmsg elsewhere
        "try:\n    print(len(list(Log(patterns=('no such word',), kernel=True).look(Host()))))\n"
        "except Unclear as error:\n    print(error)\n"
    )
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")
    if "ermission denied" in done.stderr:
        pytest.skip("this Python can't be run by another user")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("0\n", "the kernel's messages can't be read (/dev/mem: "))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"6,7,1500000,-;plain\n SUBSYSTEM=acpi\n", kernel.Message(7, 1.5, "plain")),
        (b"6,8,1500000,-,caller=T1;a\\x0ab\\x5c\n", kernel.Message(8, 1.5, "a\nb\\")),
        (b"30,9,2000000,c; goes on\n", kernel.Message(9, 2.0, " goes on", goes_on=True)),
        (b"30,10,2000000,-;\n", kernel.Message(10, 2.0, "")),
        (b"nonsense\n", None),
        (b"", None),
    ],
)
def test_records_of_the_device_are_understood(record, message):
    assert kernel._parsed(record, -1) == message


def test_what_the_kernel_said_in_pieces_is_put_together():
    pieces = [
        kernel.Message(1, 1.0, "CPU: "),
        kernel.Message(2, 1.0, "7", goes_on=True),
        kernel.Message(3, 9.0, "x", goes_on=True),
    ]
    assert [message.text for message in kernel._whole(iter(pieces))] == ["CPU: 7", "x"]


def test_messages_that_were_overwritten_before_they_were_read_are_told(monkeypatch):
    records = [b"6,50,1,-;a\n", OSError(32, "Broken pipe"), b"6,60,2,-;b\n", BlockingIOError()]

    def read(*_):
        record = records.pop(0)
        if isinstance(record, Exception):
            raise record
        return record

    host = Host()
    reader = kernel.Kernel({"boot": kernel.boot(), "number": 40, "seconds": 0.0}, host, None)
    monkeypatch.setattr(kernel, "_READERS", kernel._Readers())  # which keep what is no device
    monkeypatch.setattr(os, "open", lambda *_: os.dup(0))
    monkeypatch.setattr(os, "read", read)
    found = reader.new()
    monkeypatch.undo()
    assert [entry.text for entry in found] == ["a", "b"]
    assert "overwritten before they were read" in reader.trouble


def test_a_message_may_hold_what_unicode_takes_for_the_end_of_a_line(denied, monkeypatch):
    text = "error \u2028 79 \x85 fallen off the bus"
    entry = {"_SOURCE_MONOTONIC_TIMESTAMP": "9000000", "__CURSOR": "x"}
    for program, first, second in (
        ("journalctl", json.dumps({**entry, "MESSAGE": "x"}), json.dumps({**entry, "MESSAGE": text, "_SOURCE_MONOTONIC_TIMESTAMP": "9100000"}, ensure_ascii=False)),
        ("dmesg", "<1>[9.000000] x", f"<1>[9.100000] {text}"),
    ):  # fmt: skip
        said = [f"{first}\n"]
        monkeypatch.setattr(Answering, "programs", {program: lambda _, said=said: "".join(said)})
        watch = Watch("error", host=Answering)
        assert watch.lines() == []
        said.append(f"{second}\n")
        [line] = watch.lines()
        assert line.endswith("fallen off the bus")


@real
def test_a_look_reads_on_where_the_one_before_ended_and_not_all_messages_again(mark, monkeypatch):
    watch, other = Watch(mark), Watch(mark)
    watch.look()
    read, real_read = [], os.read

    def counted(*about):
        found = real_read(*about)
        read.append(found)
        return found

    monkeypatch.setattr(kernel.os, "read", counted)
    say(f"<4>{mark} one\n")
    assert [mark in line for line in watch.lines()] == [True]
    few = sum(mark.encode() in each for each in read), len(read)
    say(f"<4>{mark} two\n")
    assert len(watch.lines()) == 1
    assert len(other.lines()) == 0  # a cursor of its own: from the end
    say(f"<4>{mark} three\n")
    assert len(other.lines()) == 1
    assert len(watch.lines()) == 1
    assert few[0] == 1
    assert few[1] < 200  # of the thousands that there are; others write there, too

"""What `scan` tells of a whole log, however it is stored, cut into blocks or broken."""

import bz2
import gc
import gzip
import io
import json
import lzma
import os
import socket
import time
from datetime import datetime
from pathlib import Path

import pytest

from runbook.modules.logs import opening, subjects
from runbook.modules.logs import scan as scanning
from runbook.modules.logs.keeping import DEVICES, FEWER, FIRST, LAST
from runbook.modules.logs.opening import BLOCK
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.scan import scan
from runbook.modules.logs.sightings import OTHERS

OOM = Pattern("oom", r"CUDA out of memory(?: on GPU (?P<gpu>\d+))?")
NCCL = Pattern("nccl", r"NCCL \w+ failed")
PATTERNS = [OOM, NCCL, Pattern("any", "failed|memory"), Pattern("table", r"GPU table\n.*\n.*lost", lines=3)]


@pytest.fixture(params=["hyperscan", "literals"], autouse=True)
def engine(request, monkeypatch):
    monkeypatch.setenv("RUNBOOK_SCANNER", request.param)


def at(text):
    return datetime.fromisoformat(text).timestamp()


def written(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(path)


def test_signatures_are_counted_and_their_first_and_last_lines_told(tmp_path):
    log = written(
        tmp_path / "log",
        "2026-11-22 04:00:00 start\nRuntimeError: CUDA out of memory on GPU 3\n  trace\nNCCL op failed\n"
        "2026-11-22 04:05:00 CUDA out of memory\nlast",
    )
    found = scan(log, PATTERNS)
    assert (found.path, found.lines, found.bytes, found.trouble) == (log, 6, Path(log).stat().st_size, "")
    assert list(found.found) == ["oom", "nccl"]
    oom = found.found["oom"]
    assert (oom.count, oom.first.line_no, oom.last.line_no, len(oom.spots)) == (2, 2, 5, 2)
    assert oom.first.line == "RuntimeError: CUDA out of memory on GPU 3"
    assert oom.first.groups == {"gpu": 3}
    assert oom.first.before == ("2026-11-22 04:00:00 start",)
    assert oom.first.after == ("  trace", "NCCL op failed")
    assert oom.last.after == ("last",)


def test_a_line_without_a_time_inherits_that_of_the_line_before(tmp_path):
    log = written(
        tmp_path / "log", "2026-11-22 04:00:00 start\nx\nx\nCUDA out of memory\n2026-11-22 04:05:00 NCCL op failed\n"
    )
    found = scan(log, PATTERNS).found
    assert found["oom"].first.time == at("2026-11-22 04:00:00")
    assert found["nccl"].first.time == at("2026-11-22 04:05:00")


def test_the_first_twenty_spots_and_the_last_are_kept(tmp_path):
    log = written(tmp_path / "log", "".join(f"{n} NCCL op failed\nfiller {'x' * 500}\n" for n in range(3000)))
    sighting = scan(log, PATTERNS).found["nccl"]
    assert sighting.count == 3000
    assert [spot.line_no for spot in sighting.spots] == [2 * n + 1 for n in [*range(FIRST), *range(3000 - LAST, 3000)]]
    assert [spot.line.split()[0] for spot in sighting.spots[-LAST:]] == ["2997", "2998", "2999"]
    assert sighting.last.before[-1] == f"filler {'x' * 500}"[:400]


def test_each_gpu_of_a_storm_has_its_own_count_and_spots(tmp_path):
    xid = Pattern("xid", r"Xid \(PCI:(?P<pci>[\da-f:]+)\)")
    lines = [f"{n} Xid (PCI:{n % 5:02x}:00)\n" for n in range(4000)]
    lines[2000] = "2000 Xid (PCI:ff:00)\n"
    sighting = scan(written(tmp_path / "log", "".join(lines)), [xid]).found["xid"]
    assert [(part.device, part.count) for part in sighting.parts] == [
        *((f" {n:02x}:00", 800 - (n == 0)) for n in range(5)),
        (" ff:00", 1),
    ]
    for part in sighting.parts[:5]:
        every = [n for n in range(4000) if n != 2000 and f" {n % 5:02x}:00" == part.device]
        early = FIRST if part.device == " 00:00" else FEWER
        assert [int(spot.line.split()[0]) for spot in part.spots] == every[:early] + every[-LAST:]
    assert [spot.line_no for spot in sighting.spots] == sorted(spot.line_no for spot in sighting.spots)
    assert (sighting.count, sighting.first.line_no, sighting.last.line_no) == (4000, 1, 4000)


def test_more_gpus_than_any_host_has_take_no_memory(tmp_path):
    xid = Pattern("xid", r"Xid \(PCI:(?P<pci>[\da-f:]+)\)")
    log = written(tmp_path / "log", "".join(f"Xid (PCI:{n:04x}:00)\n" for n in range(3 * DEVICES)))
    sighting = scan(log, [xid]).found["xid"]
    assert (sighting.count, len(sighting.parts)) == (3 * DEVICES, DEVICES + 1)
    assert (sighting.parts[-1].device, sighting.parts[-1].count) == (OTHERS, 2 * DEVICES)


def test_ranks_and_hosts_are_named_also_of_lines_that_are_only_counted(tmp_path):
    lines = [f"[rank{n // 100}]: NCCL op failed\n" for n in range(1000)]
    lines += [f"2026-11-22T04:00:00Z node{n // 50} kernel: CUDA out of memory\n" for n in range(200)]
    found = scan(written(tmp_path / "log", "".join(lines)), PATTERNS).found
    (nccl,), (oom,) = found["nccl"].parts, found["oom"].parts
    assert nccl.ranks == set(range(10))
    assert {nccl.spots[0].rank, nccl.spots[-1].rank} == {0, 9}
    assert oom.hosts == {"node0", "node1", "node2", "node3"}
    assert {oom.spots[0].host, oom.spots[-1].host} == {"node0", "node3"}


@pytest.mark.parametrize(
    ("line", "rank"),
    [
        ("[rank3]:[E1122 01:12:02.426] [Rank 3] Watchdog caught", 3),
        ("2026-11-22 01:12:02 [rank12]: Traceback", 12),
        ("(VllmWorker rank=1 pid=4) ERROR", 1),
        ("rank 7: CUDA error", 7),
        ("connect to rank 5 failed", None),
        ("a frank 5: no", None),
    ],
)
def test_a_rank_is_known_by_what_a_line_says_of_itself(line, rank):
    assert subjects.rank(f"[rank9] before\n{line}\n".encode(), 15) == rank


def test_spots_have_their_context_across_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "BLOCK", 64)
    log = written(
        tmp_path / "log",
        "".join(f"line {n}\n" for n in range(50)) + "NCCL op failed\n" + "".join(f"after {n}\n" for n in range(50)),
    )
    spot = scan(log, PATTERNS, context=3).found["nccl"].first
    assert (spot.line_no, spot.before, spot.after) == (
        51, ("line 47", "line 48", "line 49"), ("after 0", "after 1", "after 2")
    )  # fmt: skip


@pytest.mark.parametrize("block", [7, 64, 1000, 1 << 18])
def test_where_blocks_end_changes_nothing(tmp_path, monkeypatch, block):
    text = "".join(
        f"2026-11-22 04:{n % 60:02d}:00 {['CUDA out of memory', 'GPU table', 'x', 'all lost', 'NCCL op failed', 'y'][n % 7 % 6]}\n"
        for n in range(400)
    )
    log = written(tmp_path / "log", text + "progress 1%\rprogress 2% NCCL op failed\rdone\r\nGPU table\nnext\nis lost")
    whole, told = scan(log, PATTERNS), []
    monkeypatch.setattr(opening, "BLOCK", block)
    parted = scan(log, PATTERNS, each=lambda line, name, _: told.append((line, name)))
    assert parted == whole
    assert told
    assert sum(sighting.count for sighting in whole.found.values()) == len({line for line, _ in told})


def test_every_pattern_of_every_line_is_told_in_order(tmp_path):
    log = written(tmp_path / "log", "x\nNCCL op failed\nCUDA out of memory, NCCL op failed\n")
    told = []
    found = scan(log, PATTERNS, each=lambda line, name, _: told.append((line, name))).found
    assert told == [(2, "nccl"), (2, "any"), (3, "oom"), (3, "nccl"), (3, "any")]
    assert {name: sighting.count for name, sighting in found.items()} == {"oom": 1, "nccl": 1}


@pytest.mark.parametrize("before", [0, 300, 5000, 50_000])
def test_a_long_line_is_told_so_that_its_match_can_be_seen(tmp_path, before):
    told = []
    line = "x" * before + " NCCL op failed " + "y" * 9000
    found = scan(written(tmp_path / "log", f"a\n{line}\n"), [NCCL], each=lambda *one: told.append(one))
    spot = found.found["nccl"].first
    assert spot.line[spot.at :].startswith("NCCL op failed y")
    assert len(spot.line) <= 8192
    ((line_no, name, shown),) = told
    assert (line_no, name) == (2, "nccl")
    assert "NCCL op failed" in shown
    assert len(shown) <= 400


def test_a_match_over_lines_is_one_spot_at_its_last_line(tmp_path):
    log = written(tmp_path / "log", "a\nb\nGPU table\n| 0 |\n| 1 | lost\nz\n")
    spot = scan(log, PATTERNS).found["table"].first
    assert (spot.line_no, spot.lines, spot.line) == (5, 3, "GPU table\n| 0 |\n| 1 | lost")
    assert (spot.before, spot.after) == (("a", "b"), ("z",))


def test_signatures_of_several_patterns_are_one(tmp_path):
    log = written(tmp_path / "log", "red\ngreen\nred green\n")
    told = []
    found = scan(log, [Pattern("c", "red"), Pattern("c", "green")], each=lambda *line: told.append(line[:2])).found
    assert found["c"].count == 3
    assert told == [(1, "c"), (2, "c"), (3, "c")]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_logs_are_unpacked(tmp_path, pack):
    text = b"x\n" * 100_000 + b"NCCL op failed\n"
    found = scan(written(tmp_path / "log.bin", pack(text)), PATTERNS)
    assert (found.bytes, found.lines, found.found["nccl"].first.line_no, found.trouble) == (
        len(text),
        100_001,
        100_001,
        "",
    )


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_what_a_damaged_log_still_has_is_told_with_the_trouble(tmp_path, pack):
    text = b"NCCL op failed\n" + os.urandom(2_000_000)
    found = scan(written(tmp_path / "log", pack(text)[:-200_000]), PATTERNS)
    assert found.found["nccl"].count == 1
    assert f"{tmp_path}/log is damaged" in found.trouble


@pytest.mark.parametrize("last", [1, 2, 5, 1000, 5000, 9_000])
@pytest.mark.parametrize("end", ["\n", ""])
@pytest.mark.parametrize("kind", ["plain", "packed", "stream"])
def test_the_last_lines_are_read_with_their_numbers(tmp_path, last, end, kind):
    lines = [f"{n} NCCL op failed {'.' * 100}" for n in range(1, 6001)]
    data = ("\n".join(lines) + end).encode()
    source = {
        "plain": lambda: written(tmp_path / "log", data),
        "packed": lambda: written(tmp_path / "log", gzip.compress(data, 1)),
        "stream": lambda: io.BytesIO(data),
    }[kind]()
    sighting = scan(source, PATTERNS, last_lines=last).found["nccl"]
    assert sighting.count == min(last, 6000)
    first = 6000 - min(last, 6000) + 1
    assert (sighting.first.line_no, sighting.first.line.split()[0]) == (first, str(first))
    assert (sighting.last.line_no, sighting.last.line.split()[0]) == (6000, "6000")


def test_the_last_lines_of_a_long_file_are_sought_and_the_rest_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.seek(1 << 34)  # 16 GiB, a hole
        file.write(b"\nNCCL op failed\nx\n")
    begun = time.monotonic()
    found = scan(str(path), PATTERNS, last_lines=2)
    assert time.monotonic() - begun < 5
    assert (found.lines, found.found["nccl"].first.line_no) == (2, None)


def test_lines_written_before_a_moment_are_passed_over(tmp_path):
    log = written(
        tmp_path / "log",
        "NCCL op failed\n2026-11-22 04:00:00 x\nNCCL op failed\n2026-11-22 04:10:00 NCCL op failed\n"
        + "no time\n" * 300
        + "CUDA out of memory\n",
    )
    told = []
    found = scan(log, PATTERNS, since=at("2026-11-22 04:05:00"), each=lambda line, name, _: told.append((line, name)))
    assert found.found["nccl"].count == 1  # the first line's time is the first that the file tells
    assert [line for line, name in told if name == "nccl"] == [4]
    assert found.found["oom"].first.time == at("2026-11-22 04:10:00")


@pytest.mark.parametrize("since", [None, "2026-11-22 04:00:00"])
@pytest.mark.parametrize("between", [1, 40_000])
def test_lines_without_a_time_at_a_files_begin_take_the_first_one_behind_them(tmp_path, since, between):
    log = written(
        tmp_path / "log",
        "NCCL op failed\n" + "no time\n" * between + "*** STEP 4.0 ON gpu-02 CANCELLED AT 2026-11-22T04:10:11 ***\n"
        "CUDA out of memory\n2026-11-22 05:00:00 NCCL op failed\n",
    )
    found = scan(log, PATTERNS, since=at(since) if since else None).found
    assert [spot.time for spot in found["nccl"].spots] == [at("2026-11-22 04:10:11"), at("2026-11-22 05:00:00")]
    assert found["oom"].first.time == at("2026-11-22 04:10:11")


def test_early_lines_without_a_time_are_passed_over_with_the_first_one_behind_them(tmp_path):
    log = written(tmp_path / "log", "NCCL op failed\n" + "no time\n" * 40_000 + "2026-11-22 04:10:11 x\n")
    assert not scan(log, PATTERNS, since=at("2026-11-22 04:10:12")).found
    assert scan(log, PATTERNS, since=at("2026-11-22 04:10:11")).found["nccl"].count == 1


def test_where_no_line_has_a_time_none_is_passed_over(tmp_path):
    spot = scan(written(tmp_path / "log", "x\nNCCL op failed\n"), PATTERNS, since=at("2026-11-22")).found["nccl"].first
    assert (spot.line_no, spot.time) == (2, None)


def test_a_line_inherits_a_time_that_stands_in_the_block_before(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "BLOCK", 64)
    log = written(
        tmp_path / "log",
        "2026-11-22 03:00:00 NCCL op failed\n" + "x\n" * 20 + "2026-11-22 04:00:00 a\n" + "no time\n" * 4
        + "CUDA out of memory\n2026-11-22 05:00:00 b\n",
    )  # fmt: skip
    assert scan(log, PATTERNS, context=0).found["oom"].first.time == at("2026-11-22 04:00:00")


@pytest.fixture
def no_collection():
    """Without it the callback that hypothesis gives the garbage collector may meet an exception on its way up."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("how", ["while it reads", "while it matches"])
@pytest.mark.usefixtures("no_collection")
def test_an_interrupt_returns_what_was_found_until_then(tmp_path, how):
    each_block = BLOCK // 16  # lines
    stream, told = io.BytesIO(b"!NCCL op failed\n" * 4 * each_block), []

    class Interrupted(io.RawIOBase):
        def read(self, size=-1):
            if stream.tell() > 1.9 * BLOCK and how == "while it reads":
                raise KeyboardInterrupt
            return stream.read(size)

    def each(line, name, _):
        told.append(line)
        if line == each_block + 4000 and how == "while it matches":
            raise KeyboardInterrupt

    found = scan(Interrupted(), [NCCL], each=each)
    lines = 2 * each_block if how == "while it reads" else each_block  # of whole blocks
    sighting = found.found["nccl"]
    assert (found.stopped, found.trouble, found.lines, sighting.count) == (True, "", lines, lines)
    assert [spot.line_no for spot in sighting.spots] == [*range(1, FIRST + 1), *range(lines - LAST + 1, lines + 1)]


def test_an_interrupt_keeps_the_last_lines_that_were_read():
    stream = io.BytesIO(b"!NCCL op failed\n" * (BLOCK // 4))

    class Interrupted(io.RawIOBase):
        def read(self, size=-1):
            if stream.tell() > 1.9 * BLOCK:
                raise KeyboardInterrupt
            return stream.read(size)

    found = scan(Interrupted(), [NCCL], last_lines=5)
    assert (found.stopped, found.found["nccl"].count) == (True, 5)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("last", [None, 3])
def test_a_packed_stream_is_unpacked(pack, last):
    into, out = os.pipe()
    data = pack(b"x\n" * 5000 + b"NCCL op failed\n")
    os.write(out, data[:1])
    child = os.fork()
    if not child:
        time.sleep(0.05)  # the first byte arrives alone
        os.write(out, data[1:])
        os._exit(0)
    os.close(out)
    with os.fdopen(into, "rb") as stream:
        found = scan(stream, PATTERNS, last_lines=last)
    os.waitpid(child, 0)
    assert (found.found["nccl"].first.line_no, found.trouble) == (5001, "")


def test_a_damaged_packed_stream_is_told_with_what_it_still_has():
    found = scan(
        io.BytesIO(gzip.compress(b"NCCL op failed\n" + os.urandom(1_000_000).hex().encode())[:-200_000]), PATTERNS
    )
    assert found.found["nccl"].count == 1
    assert found.trouble.startswith("the input is damaged: it could be unpacked only in part")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (bytes(range(256)) * 50, "control characters"),
        (b"\x7fELF" + bytes(60) + b"\x01\x02\x03" * 10, "control characters"),
        (bytes(3_000_000), "nothing but NUL bytes"),
        ("NCCL op failed\n".encode("utf-16"), "UTF-16"),
        ("NCCL op failed\n".encode("utf-16-le"), "control characters"),
        (gzip.compress(bytes(range(256)) * 50), "control characters"),
    ],
)
def test_a_stream_that_is_no_text_is_refused(data, why):
    found = scan(io.BytesIO(data), PATTERNS)
    assert found.trouble.startswith("the input is no text: ")
    assert why in found.trouble
    assert (found.lines, found.bytes, dict(found.found)) == (0, 0, {})


@pytest.mark.parametrize(
    "text", [b"", b"\x1b[31mNCCL op failed\x1b[0m\n", b"\xe9t\xe9: NCCL op failed\n", bytes(99) + b"x\n"]
)
def test_a_stream_of_text_is_not_refused(text):
    found = scan(io.BytesIO(text), PATTERNS)
    assert (found.trouble, len(found.found)) == ("", b"NCCL" in text)


@pytest.mark.parametrize("size", [10, 70_000, 600_000])
@pytest.mark.parametrize("kind", ["file", "stream", "packed", "hole"])
def test_a_hole_before_a_line_is_no_part_of_it(tmp_path, size, kind):
    text = b"NCCL op failed\nx\nCUDA out of memory\n"
    log = tmp_path / "log"
    if kind == "hole":
        with log.open("wb") as file:
            file.seek(size << 10)
            file.write(text)
    else:
        log.write_bytes(gzip.compress(bytes(size) + text) if kind == "packed" else bytes(size) + text)
    found = scan(io.BytesIO(log.read_bytes()) if kind == "stream" else str(log), PATTERNS)
    spot = found.found["nccl"].first
    assert (spot.line_no, spot.line, found.lines, found.trouble, found.note) == (1, "NCCL op failed", 3, "", "")
    assert found.found["oom"].first.before == ("NCCL op failed", "x")


def test_a_hole_within_a_log_is_no_part_of_the_line_behind_it(tmp_path):
    log = written(tmp_path / "log", b"x\n" + bytes(70_000) + b"NCCL op failed\n")
    assert scan(log, PATTERNS).found["nccl"].first.line == "NCCL op failed"


@pytest.mark.parametrize("length", [64 * 1024 - 14, 64 * 1024 - 13, 100_000, 3_000_000])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n"])
def test_lines_that_are_matched_only_in_part_are_told_of(tmp_path, length, end):
    log = written(tmp_path / "log", b"x\nNCCL op failed" + b"." * length + end)
    found = scan(log, PATTERNS)
    told = "" if length + 14 <= 64 * 1024 else "1 line is longer than 64 KiB: matched in its first 64 KiB"
    assert (found.note, found.trouble, found.found["nccl"].count) == (told, "", 1)


def test_docker_lines_are_unwrapped_and_have_dockers_time(tmp_path):
    lines = [
        {"log": "\x1b[31mNCCL op failed\x1b[0m\n", "stream": "stderr", "time": "2026-11-22T04:00:00.25Z"},
        {"log": 'x "CUDA out of memory"\n', "stream": "stdout", "time": "2026-11-22T04:00:01Z"},
    ]
    log = written(tmp_path / "log", "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    found = scan(log, PATTERNS).found
    assert (found["nccl"].first.line, found["nccl"].first.time) == (
        "NCCL op failed",
        at("2026-11-22T04:00:00.25+00:00"),
    )
    assert found["oom"].first.before == ("NCCL op failed",)


@pytest.mark.parametrize("make", ["fifo", "directory", "socket", "device", "missing"])
def test_what_is_no_file_is_refused_at_once(tmp_path, make):
    path = str(tmp_path / "log")
    kept = None
    if make == "fifo":
        os.mkfifo(path)
    elif make == "directory":
        Path(path).mkdir()
    elif make == "socket":
        kept = socket.socket(socket.AF_UNIX)
        kept.bind(path)
    elif make == "device":
        path = "/dev/zero"
    begun = time.monotonic()
    found = scan(path, PATTERNS)
    if kept is not None:
        kept.close()
    assert time.monotonic() - begun < 2
    assert found.trouble.startswith(path)
    assert (found.lines, dict(found.found)) == (0, {})


def test_a_file_that_may_not_be_read_is_told(tmp_path):
    log = written(tmp_path / "log", "NCCL op failed\n")
    Path(log).chmod(0)
    child = os.fork()
    if not child:
        if not os.geteuid():
            os.setuid(65534)
        os._exit(0 if scan(log, PATTERNS).trouble == f"{log}: Permission denied" else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_file_that_is_cut_while_it_is_read_is_told(tmp_path):
    log = written(tmp_path / "log", b"NCCL op failed\n" + b"x" * 99 + b"\n" + b"y\n" * 2_000_000)
    seen = []

    def cut(line, name, _):
        seen.append((line, name))
        os.truncate(log, 100)

    found = scan(log, PATTERNS, each=cut)
    assert seen[0] == (1, "nccl")
    assert "was cut while it was read" in found.trouble
    assert found.found["nccl"].count == 1


def test_what_is_appended_while_a_file_is_read_is_left_for_another_time(tmp_path):
    log = written(tmp_path / "log", "NCCL op failed\n" * 3)

    def append(_line_no, _name, _line):
        with Path(log).open("a") as file:
            file.write("NCCL op failed\n" * 20_000)

    found = scan(log, [NCCL], each=append)
    assert (found.found["nccl"].count, found.trouble) == (3, "")


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n"])
def test_a_line_of_many_megabytes_is_cut_and_takes_no_memory(tmp_path, end):
    log = written(
        tmp_path / "log", b"NCCL op failed " + b"x" * 30_000_000 + b"CUDA out of memory" + end + b"NCCL op failed"
    )
    found = scan(log, PATTERNS)
    assert dict.fromkeys(found.found) == {"nccl": None}
    sighting = found.found["nccl"]
    assert sighting.count == (2 if end else 1)
    assert all(len(spot.line) <= 8192 for spot in sighting.spots)
    assert found.lines == (2 if b"\n" in end else 1)


def test_binary_noise_is_read_to_its_end(tmp_path):
    noise = os.urandom(2_000_000)
    found = scan(written(tmp_path / "log", noise + b"\nNCCL op failed\n"), PATTERNS)
    assert (found.bytes, found.lines) == (len(noise) + 16, noise.count(b"\n") + 2)
    assert found.found["nccl"].last.line == "NCCL op failed"


HANGS = Pattern("hangs", r"poison(b+)+(?=c)|deadly(b+)+(?=c)")
POISON = "poison" + "b" * 40 + "\n"


def test_a_pattern_that_hangs_is_cut_off_and_the_others_go_on(tmp_path):
    log = written(tmp_path / "log", "NCCL op failed\n" + POISON + "poisonbbc\nNCCL op failed\n")
    begun = time.process_time()
    found = scan(log, [HANGS, NCCL])
    assert time.process_time() - begun < 10
    assert {name: sighting.count for name, sighting in found.found.items()} == {"hangs": 1, "nccl": 2}
    assert found.trouble == "1 line was not matched with `hangs`, which took longer than 0.25 s"


def test_a_pattern_that_hangs_on_every_line_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(scanning, "BLOCK_TIME", 0.05)
    monkeypatch.setattr(scanning, "LINE_TIME", 0.05)
    log = written(tmp_path / "log", (POISON * 2 + "NCCL op failed\n") * 2000)
    begun = time.process_time()
    found = scan(log, [HANGS, NCCL])
    assert time.process_time() - begun < 10
    assert found.found["nccl"].count == 2000
    assert found.trouble == "4 lines were not matched with `hangs`, which took longer than 0.05 s, and then left out"


def test_a_pipe_is_read_as_it_comes():
    into, out = os.pipe()
    os.write(out, b"x\nNCCL op fai")
    os.write(out, b"led\r\nlast")
    os.close(out)
    with os.fdopen(into, "rb") as stream:
        found = scan(stream, PATTERNS)
    assert (found.path, found.lines, found.found["nccl"].first.line_no) == ("-", 3, 2)

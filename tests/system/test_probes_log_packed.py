"""Logs that are packed once they are rotated: what was not read yet is read from the packed file, and nothing twice."""

import bz2
import gzip
import lzma
import os
import random
import re
import shutil
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from log_watch import Watch, write

from runbook.modules.logs import content, tail

PACKERS = {
    "gzip": (".gz", gzip.compress),
    "bzip2": (".bz2", lambda text: bz2.compress(text, 1)),
    "xz": (".xz", lzma.compress),
}

UNPACKERS = {"gzip": lambda: zlib.decompressobj(31), "bzip2": bz2.BZ2Decompressor, "xz": lzma.LZMADecompressor}


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "train.log"
    path.touch()
    return path


@pytest.fixture(params=["train.log", "train*"])
def watch(request, log):
    watch = Watch(log.parent / request.param)
    assert watch.look() == []
    return watch


def pack(path, packer="gzip"):
    subprocess.run([packer, str(path)], check=True)


@pytest.mark.parametrize("packer", PACKERS)
def test_what_was_not_read_yet_is_read_from_the_packed_file(log, watch, packer):
    write(log, *range(500))
    assert watch.numbers() == list(range(500))
    write(log, *range(500, 1000))
    log.rename(f"{log}.1")
    pack(f"{log}.1", packer)
    write(log, 1000)
    records = watch.look()
    assert [record.n for record in records] == list(range(500, 1001))
    assert records[0].path == f"{log}.1{PACKERS[packer][0]}"
    assert records[0].line_no == 501
    assert watch.look() == []


def test_what_was_read_already_is_not_read_from_the_packed_file(log, watch):
    write(log, 1, 2)
    assert watch.numbers() == [1, 2]
    log.rename(f"{log}.1")
    pack(f"{log}.1")
    write(log, 3)
    assert watch.numbers() == [3]
    assert watch.look() == []


def test_a_packed_file_that_moves_up_is_not_read_again(log, watch):
    write(log, 1)
    log.rename(f"{log}.1")
    pack(f"{log}.1")
    write(log, 2)
    assert watch.numbers() == [1, 2]
    for age in (1, 2, 3):
        Path(f"{log}.{age}.gz").rename(f"{log}.{age + 1}.gz")
        assert watch.look() == []


def test_a_log_that_came_and_was_packed_between_two_looks_is_read_in_whole(log, watch):
    for number in (1, 2, 3):
        write(log, number)
        for age in (3, 2, 1):
            older = Path(f"{log}.{age}.gz")
            if older.exists():
                older.rename(f"{log}.{age + 1}.gz")
        log.rename(f"{log}.1")
        pack(f"{log}.1")
    write(log, 4)
    assert watch.numbers() == [1, 2, 3, 4]
    assert watch.look() == []


def test_a_file_that_is_just_being_packed_is_left_alone_until_its_original_is_gone(log, watch):
    write(log, *range(3000))
    assert len(watch.numbers()) == 3000
    write(log, 3000)
    log.rename(f"{log}.1")
    whole = gzip.compress((log.parent / "train.log.1").read_bytes())
    packed = log.parent / "train.log.1.gz"
    seen = []
    for size in (0, 5, 40, len(whole) // 2, len(whole)):
        packed.write_bytes(whole[:size])
        seen += watch.numbers()
    assert seen == [3000]
    Path(f"{log}.1").unlink()
    assert watch.look() == []
    write(log, 3001)
    assert watch.numbers() == [3001]


def test_a_file_that_is_packed_before_it_was_ever_read_is_read_once(log, watch):
    write(log, *range(100))
    log.rename(f"{log}.1")
    shutil.copy(f"{log}.1", log.parent / "aside")
    pack(f"{log}.1")
    (log.parent / "aside").rename(f"{log}.1")  # the original is still there when it is looked at
    assert watch.numbers() == list(range(100))
    Path(f"{log}.1").unlink()
    assert watch.look() == []


def test_a_log_that_is_cut_once_it_was_packed_is_read_on_in_the_packed_file(log, watch):
    write(log, 1, 2)
    assert watch.numbers() == [1, 2]
    write(log, 3)
    (log.parent / "train.log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    os.truncate(log, 0)
    write(log, 4)
    assert sorted(watch.numbers() + watch.numbers()) == [3, 4]
    assert watch.look() == []


def test_files_of_several_members_are_read_through(log, watch):
    write(log, 1)
    assert watch.numbers() == [1]
    log.unlink()
    (log.parent / "train.log.1.gz").write_bytes(gzip.compress(b"line 1\n") + gzip.compress(b"line 2\n") + b"\0" * 512)
    assert watch.numbers() == [2]
    assert watch.look() == []


def test_an_old_packed_file_put_beside_the_log_is_no_news(log, watch):
    write(log, 1)
    assert watch.numbers() == [1]
    old = log.parent / "train.log.9.gz"
    old.write_bytes(gzip.compress(b"line 9\n"))
    os.utime(old, (time.time() - 86400, time.time() - 86400))
    assert watch.look() == []
    assert watch.look() == []


def test_a_first_look_from_the_start_takes_in_what_is_packed(log):
    (log.parent / "train.log.2.gz").write_bytes(gzip.compress(b"line 1\n"))
    os.utime(log.parent / "train.log.2.gz", (time.time() - 100, time.time() - 100))
    (log.parent / "train.log.1.xz").write_bytes(lzma.compress(b"line 2\n"))
    os.utime(log.parent / "train.log.1.xz", (time.time() - 50, time.time() - 50))
    write(log, 3)
    watch = Watch(log, from_="start")
    assert watch.numbers() == [1, 2, 3]
    assert watch.look() == []


def test_a_packed_file_may_be_a_log_itself(log):
    alone = log.parent / "old.gz"
    alone.write_bytes(gzip.compress(b"line 1\nline 2"))
    watch = Watch(alone, from_="start")
    assert watch.numbers(later=5) == [1, 2]
    assert watch.look() == []


def test_what_only_bears_the_name_is_read_as_it_is(log):
    alone = log.parent / "plain.gz"
    write(alone, 1)
    assert Watch(alone, from_="start").numbers() == [1]


@pytest.mark.parametrize("packer", PACKERS)
def test_what_is_broken_gives_what_can_be_had_and_is_told(log, packer):
    suffix, compress = PACKERS[packer]
    noise = random.Random(7)
    text = b"".join(b"line %d %s\n" % (number, noise.randbytes(40).hex().encode()) for number in range(5000))
    broken = log.parent / f"train.log.1{suffix}"
    half = compress(text)[: len(text) // 3]
    broken.write_bytes(half)
    there = len(re.findall(rb"line \d+ ", UNPACKERS[packer]().decompress(half)))
    os.utime(broken, (time.time() - 3600, time.time() - 3600))
    watch = Watch(log, patterns=(r"line (?P<n>\d+) ",), from_="start")  # the cut may fall within a number
    found = watch.look()
    said = watch.state.get("trouble", "")
    while watch.state["behind"]:
        found += watch.look()
        said += watch.state.get("trouble", "")
    assert said == f"{broken} is packed only in part: what could be read of it was"
    assert 0 < there < 5000
    assert [record.n for record in found] == list(range(there))
    assert watch.look() == []
    assert "trouble" not in watch.state


def test_a_bomb_is_read_in_bounded_memory_and_time_and_told(log, monkeypatch):
    bomb = log.parent / "train.log.1.gz"
    bomb.write_bytes(gzip.compress(b"x" * 60_000_000, 9))
    monkeypatch.setattr(tail, "BUDGET", 0.02)
    watch = Watch(log, from_="start")
    begun = time.monotonic()
    looks = [watch.look() for _ in range(6)]
    assert not any(looks)
    assert time.monotonic() - begun < 20


def test_what_asks_for_too_much_memory_is_not_unpacked(log, monkeypatch):
    monkeypatch.setattr(content, "DEAREST", 1024 * 1024)
    packed = log.parent / "train.log.1.xz"
    packed.write_bytes(lzma.compress(b"line 1\n", preset=9))
    os.utime(packed, (time.time() - 3600, time.time() - 3600))
    watch = Watch(log, from_="start")
    assert watch.look() == []
    assert "packed only in part" in watch.state["trouble"]


def test_a_log_that_nothing_here_can_unpack_is_told_of_and_the_new_one_is_read(log, watch, monkeypatch):
    for name in ("compression.zstd", "backports.zstd", "pyzstd", "zstandard"):
        monkeypatch.setitem(sys.modules, name, None)
    write(log, 1)
    assert watch.numbers() == [1]
    write(log, 2)
    log.unlink()
    Path(f"{log}.1.zst").write_bytes(b"(\xb5/\xfd\x04X9\x00\x00line 1\nline 2\n")
    write(log, 3)
    assert watch.numbers() == [3]
    told = watch.state["trouble"]
    assert told.startswith(f"{log}.1.zst: it is packed by zstandard, for which this Python has nothing: ")
    assert watch.numbers() == []

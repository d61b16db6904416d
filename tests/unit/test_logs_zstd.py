"""Logs packed by zstandard: read where this Python has a package for it, and told of where it has none."""

import io

import pytest

from runbook.modules.logs import zstd
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.scan import scan

LINE = b"ERROR: it failed\n"
FRAME = b"(\xb5/\xfd\x04X\xbd\x00\x00\x88ERROR: it failed\n\x01\x00\xc9\x99K,I\x9cH"  # three of them, by zstd 1.5

try:
    zstd.unpacker()
    HAS = True
except zstd.Lacking:
    HAS = False


def unpacked(packed, size=1000):
    with zstd.Zstd(io.BytesIO(packed)) as file:
        return b"".join(iter(lambda: file.read1(size), b""))


@pytest.mark.parametrize("size", [5, 1000])
@pytest.mark.parametrize("behind", [b"", b"junk", b"\n"])
def test_frames_behind_one_another_are_read_or_it_is_said_that_nothing_can(size, behind):
    if HAS:
        assert unpacked(FRAME * 2 + behind, size) == LINE * 6
        with pytest.raises(EOFError, match="it ends before its end was packed"):
            unpacked(FRAME * 2 + FRAME[:20])
    else:
        with pytest.raises(zstd.Lacking, match="for which this Python has nothing"):
            unpacked(FRAME, size)


def test_a_scan_reads_it_or_says_what_would(tmp_path):
    path = tmp_path / "x.log.1.zst"
    path.write_bytes(FRAME)
    for source, name in ((str(path), str(path)), (io.BytesIO(FRAME), "FILE")):
        found = scan(source, [Pattern("it", "ERROR")])
        if HAS:
            assert (found.found["it"].count, found.trouble) == (3, "")
        else:
            assert "is packed by zstandard, for which this Python has nothing" in found.trouble
            assert f"`zstd -dc {name} | runbook scan -` reads it, and `pip install zstandard`" in found.trouble

"""xz files: all that `xz` writes is read, and none asks for more memory than there may be."""

import io
import lzma
import resource
import subprocess
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.scan import scan
from runbook.modules.logs.xz import Dear, Xz

LINE = b"ERROR: it failed\n"


def greedy(content, dictionary):
    """Pack something, and let it claim a dictionary: 37 is one of 1.5 GiB, 40 one of 4 GiB."""
    packed = bytearray(lzma.compress(content, lzma.FORMAT_XZ))
    size = (packed[12] + 1) * 4
    assert packed[14:16] == b"\x21\x01"  # LZMA2, with one byte about it
    packed[16] = dictionary
    packed[12 + size - 4 : 12 + size] = zlib.crc32(packed[12 : 12 + size - 4]).to_bytes(4, "little")
    return bytes(packed)


def unpacked(packed, size=1000):
    with Xz(io.BytesIO(packed)) as file:
        return b"".join(iter(lambda: file.read1(size), b""))


@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=4), st.integers(0, 3), st.sampled_from([1, 100, 70_000]))
def test_streams_behind_one_another_and_padding_between_them_are_read_as_lzma_itself_reads_them(parts, padding, size):
    packed = b"".join(lzma.compress(part) + b"\0" * (4 * padding) for part in parts)
    assert unpacked(packed, size) == b"".join(parts)


@pytest.mark.parametrize("behind", [b"junk", b"\0\0\0\0junk", b"\n"])
def test_what_stands_behind_the_last_stream_is_passed_over(behind):
    assert unpacked(lzma.compress(b"text") + behind) == b"text"


def test_a_file_that_is_cut_off_or_damaged_says_so():
    packed = lzma.compress(bytes(range(256)) * 1000)
    with pytest.raises(EOFError):
        unpacked(packed[:-5])
    with pytest.raises(lzma.LZMAError):
        unpacked(packed[:100] + b"\xff" * 20 + packed[120:])


def test_the_best_packing_is_within_the_limit_and_a_larger_dictionary_is_not():
    assert unpacked(lzma.compress(b"text", preset=9 | lzma.PRESET_EXTREME)) == b"text"
    for dictionary in (37, 40):
        with pytest.raises(Dear, match="unpacking it takes more than 256 MiB of memory"):
            unpacked(greedy(b"text", dictionary))
        with pytest.raises(Dear):
            unpacked(lzma.compress(b"text") + greedy(b"text", dictionary))


def test_a_scan_tells_of_a_file_that_asks_for_too_much_and_keeps_what_stood_before_it(tmp_path):
    path = tmp_path / "x.log.xz"
    path.write_bytes(greedy(LINE, 37))
    found = scan(str(path), [Pattern("it", "ERROR")])
    assert (found.bytes, found.trouble) == (0, f"{path}: unpacking it takes more than 256 MiB of memory, after 0 bytes")
    path.write_bytes(lzma.compress(LINE) + greedy(LINE, 37))
    found = scan(str(path), [Pattern("it", "ERROR")])
    assert (found.bytes, found.found["it"].count) == (len(LINE), 1)
    assert found.trouble == f"{path}: unpacking it takes more than 256 MiB of memory, after {len(LINE)} bytes"


def test_the_command_tells_of_it_within_the_memory_that_any_scan_takes(tmp_path):
    path = tmp_path / "x.log.xz"
    path.write_bytes(greedy(LINE * 100_000, 37))
    limit = 1 << 30
    done = subprocess.run(
        [sys.executable, "-m", "runbook", "scan", "--no-journal", str(path)], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )  # fmt: skip
    assert (done.returncode, "takes more than 256 MiB of memory" in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr

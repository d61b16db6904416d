"""Files that nobody writes by accident: each has its verdict, within bounded memory, and none hides another."""

import bz2
import json
import os
import resource
import struct
import subprocess
import sys
import time
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.modules.formats import json_text, unsound, validity, weights
from runbook.modules.formats.json_text import Uneditable
from runbook.modules.formats.validity import Verdict, judge

SOUND = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def verdict(path, form):
    return judge(str(path), form, time.monotonic() + 30, {})[0]


def safetensors(path, header, data=b"\0" * 8):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return path


def made(path, method, content=b"weights", name="archive/data.pkl"):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "about",
    [
        '{"dtype":"F32","shape":[1e999],"data_offsets":[0,8]}', '{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}',
        '{"dtype":"F32","shape":[true,2],"data_offsets":[0,8]}', '{"dtype":"F32","shape":"2","data_offsets":[0,8]}',
        '{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}', '{"dtype":"F32","shape":[2],"data_offsets":[0,8.0]}',
        '{"dtype":["F32"],"shape":[2],"data_offsets":[0,8]}', '{"dtype":"F32","shape":{"a":2},"data_offsets":[0,8]}',
        '{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}', '{"dtype":"F32","shape":[2],"data_offsets":null}', "[]", "1",
        '{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}',
    ],
)  # fmt: skip
def test_a_header_that_says_nonsense_of_a_tensor_makes_the_file_unsound(tmp_path, about):
    path = safetensors(tmp_path / "a.safetensors", b'{"w":%s}' % about.encode())
    assert verdict(path, "safetensors") == Verdict(valid=False, reason="the header says nothing useful of tensor w")


def test_huge_numbers_in_a_header_make_the_file_unsound_at_once(tmp_path):
    begun = time.process_time()
    for digits in (30, 4000, 3_000_000):
        path = safetensors(tmp_path / "a.safetensors", b'{"w":{"shape":[%s]}}' % (b"9" * digits))
        assert verdict(path, "safetensors") == Verdict(
            valid=False, reason=f"its header is no JSON: a number has {digits} digits"
        )
    shape = [10**19] * 300_000
    found = verdict(safetensors(tmp_path / "a.safetensors", {"w": {**SOUND, "shape": shape}}), "safetensors")
    assert (found.valid, found.reason[:45]) == (False, "tensor w: 8 bytes do not fit its shape [10000")
    assert len(found.reason) == validity.LONGEST_REASON
    assert time.process_time() - begun < 10


def test_sound_tensors_are_sound_also_those_without_numbers(tmp_path):
    header = {"__metadata__": {"a": "b"}, "w": SOUND, "none": {"dtype": "F64", "shape": [3, 0], "data_offsets": [8, 8]}}
    assert verdict(safetensors(tmp_path / "a.safetensors", header), "safetensors") == Verdict(valid=True)
    header["w"] = {**SOUND, "dtype": "F4"}  # of a kind that is newer than we are
    assert verdict(safetensors(tmp_path / "a.safetensors", header), "safetensors") == Verdict(valid=True)


def test_a_header_that_is_too_large_to_be_parsed_is_untold_and_one_cut_off_is_unsound(tmp_path):
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", unsound.LARGEST_TEXT + 1))
        file.truncate(8 + unsound.LARGEST_TEXT + 1)
    length = unsound.LARGEST_TEXT + 1
    assert verdict(path, "safetensors") == Verdict(
        valid=None, reason=f"its header of {length} bytes is too large to be parsed: 16 MiB may be"
    )
    os.truncate(path, 1000)
    assert verdict(path, "safetensors").valid is False


@pytest.mark.parametrize(("method", "number"), [(zipfile.ZIP_BZIP2, 12), (zipfile.ZIP_LZMA, 14)])
@pytest.mark.parametrize("form", ["zip", "torch"])
def test_members_that_are_packed_in_a_way_that_can_explode_are_not_unpacked(tmp_path, method, number, form):
    path = made(tmp_path / "a.pt", method)
    reason = f"archive/data.pkl is packed by method {number}: its content is not read"
    assert verdict(path, form) == Verdict(valid=None, reason=reason)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_stored_and_deflated_members_are_read_to_their_checksum(tmp_path, method):
    path = made(tmp_path / "a.pt", method, os.urandom(100_000))
    assert verdict(path, "torch") == Verdict(valid=True)
    content = bytearray(path.read_bytes())
    content[50_000] ^= 1
    path.write_bytes(content)
    assert verdict(path, "torch").valid is False


@given(data=st.data())
def test_a_zip_file_with_any_bytes_changed_has_a_verdict(tmp_path_factory, data):
    path = made(tmp_path_factory.mktemp("zip") / "a.zip", zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    found = verdict(path, "zip")
    assert not found.reason.startswith("it can't be judged")


def test_a_directory_of_a_zip_file_is_not_read_when_it_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "LARGEST_DIRECTORY", 1 << 20)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(40):
            archive.writestr(f"{number:030000}", b"")
    assert verdict(path, "zip") == Verdict(valid=None, reason="its directory takes more than 1 MiB")


@pytest.mark.parametrize("form", ["json", "yaml", "toml"])
def test_a_text_that_is_too_large_to_be_parsed_is_untold(tmp_path, form):
    path = tmp_path / "a"
    path.touch()
    os.truncate(path, unsound.LARGEST_TEXT + 1)
    reason = f"its {unsound.LARGEST_TEXT + 1} bytes are too many to be parsed: 16 MiB may be"
    assert verdict(path, form) == Verdict(valid=None, reason=reason)


def test_json_may_hold_numbers_of_any_length(tmp_path):
    (tmp_path / "a.json").write_text("[" + "9" * 100_000 + "]")
    assert verdict(tmp_path / "a.json", "json") == Verdict(valid=True)


DIGEST = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"  # of a NUL


def test_names_in_a_list_of_checksums_may_hold_what_unicode_takes_for_the_end_of_a_line(tmp_path):
    names = {
        "a\u2028b": "a\u2028b",
        " c\x0b": " c\x0b",
        "d\u00a0": "d\u00a0",
        "e\nf": "e\\nf",
        "g\\h": "g\\\\h",
        "i": "i",
    }
    for name in names:
        (tmp_path / name).write_bytes(b"\0")
    lines = [f"{'' if name == written else chr(92)}{DIGEST}  {written}" for name, written in names.items()]
    (tmp_path / "sums").write_text("# sums\r\n\n" + "\n".join(lines) + "\r\n", newline="")
    assert verdict(tmp_path / "sums", "sha256") == Verdict(valid=True)
    (tmp_path / "e\nf").write_bytes(b"\1")
    assert verdict(tmp_path / "sums", "sha256") == Verdict(valid=False, reason="e\nf has another checksum")


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("a\0b", "line 2 names a file with a NUL in its name, which no file has"), ("no", "no is missing"),
        ("sums/no", "sums/no is missing"), (".", ". is no file"),
    ],
)  # fmt: skip
def test_a_name_that_no_file_has_makes_a_list_of_checksums_unsound(tmp_path, written, reason):
    (tmp_path / "sums").write_text(f"\n{DIGEST}  {written}\n")
    assert verdict(tmp_path / "sums", "sha256") == Verdict(valid=False, reason=reason)


def test_what_could_not_be_told_of_one_file_of_a_checkpoint_is_untold_of_all_and_names_it(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    made(tmp_path / "b.pt", zipfile.ZIP_BZIP2)
    safetensors(tmp_path / "c.safetensors", {"w": SOUND})
    found = verdict(tmp_path, "checkpoint")
    assert (found.valid, found.reason[:41]) == (None, "b.pt: archive/data.pkl is packed by metho")
    safetensors(tmp_path / "c.safetensors", b'{"w":{"dtype":"F32","shape":[1e999],"data_offsets":[0,8]}}')
    assert verdict(tmp_path, "checkpoint") == Verdict(
        valid=False, reason="c.safetensors: the header says nothing useful of tensor w"
    )


def test_what_nobody_foresaw_in_one_file_is_untold_and_names_it(tmp_path, monkeypatch):
    def stumble(path, until):
        raise AssertionError("odd " * 1000)

    (tmp_path / "a.json").write_text("{}")
    monkeypatch.setitem(validity._CHECKS, "json", stumble)
    found = verdict(tmp_path, "checkpoint")
    assert found.valid is None
    assert found.reason.startswith("a.json: it can't be judged: AssertionError: odd odd")
    assert len(found.reason) <= validity.LONGEST_REASON


def bombs(folder):
    """Files of a few kB or MB that once took gigabytes."""
    zeros = bz2.compress(b"\0" * (900 << 10))
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("zeros", "w") as member:
            for _ in range(200):
                member.write(b"\0" * (1 << 20))
        archive.writestr("more", zeros)
    (folder / "lists.json").write_bytes(b"[" + b"[]," * (5 << 20) + b"0]")
    raw = b'{"w":[' + b"[]," * (5 << 20) + b"0]}"
    safetensors(folder / "lists.safetensors", raw)
    (folder / "large.json").write_bytes(b"[" + b"[]," * (20 << 20) + b"0]")
    with (folder / "large.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", 90_000_000) + b"[" * 10)
        file.truncate(90_000_008)
    return sorted(folder.iterdir())


def test_no_file_takes_more_than_half_a_gigabyte_to_be_judged(tmp_path):
    paths = bombs(tmp_path)
    program = (
        "import sys, time\nfrom runbook.modules.formats.validity import SUFFIXES, judge\n"
        "import os\nfor path in sys.argv[1:]:\n"
        " print(judge(path, SUFFIXES[os.path.splitext(path)[1]], time.monotonic() + 60, {})[0].valid)"
    )
    most = 640 << 20
    done = subprocess.run(
        [sys.executable, "-c", program, *paths], capture_output=True, text=True, check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (most, most)),
    )  # fmt: skip
    said = dict(zip([path.name for path in paths], done.stdout.split(), strict=True))
    assert said == {
        "bomb.zip": "True", "large.json": "None", "large.safetensors": "None", "lists.json": "True", "lists.safetensors": "False",
    }  # fmt: skip


def test_a_check_that_runs_out_of_memory_says_so(tmp_path):
    (tmp_path / "a.json").write_bytes(b"[" + b"[]," * (5 << 20) + b"0]")
    program = (
        "import resource, sys, time\nfrom runbook.modules.formats.validity import judge\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (150 << 20, 150 << 20))\n"
        "print(judge(sys.argv[1], 'json', time.monotonic() + 60, {})[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.json"], capture_output=True, text=True, check=True
    )
    assert (
        done.stdout == f"{Verdict(valid=None, reason='it can' + chr(39) + 't be judged: that needs too much memory')}\n"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": "\t"}', "line 1, column 8: Invalid control character"),
        ('{"a": "b', "line 1, column 7: Unterminated string"),
        ("{,}", "line 1, column 2: Expecting property name enclosed in double quotes"),
    ],
)
def test_what_is_wrong_with_a_json_text_is_a_whole_sentence(text, reason, tmp_path):
    (tmp_path / "a.json").write_text(text)
    assert verdict(tmp_path / "a.json", "json") == Verdict(valid=False, reason=reason)
    with pytest.raises(Uneditable, match=r"[a-z]$"):
        json_text.read(text)

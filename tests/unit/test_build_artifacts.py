"""Whether an artifact is whole: real ones cut at any byte, and whatever bytes a disk may hold."""

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.modules.build import artifacts


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An object, a library, a program and an archive, as gcc makes them."""
    if shutil.which("gcc") is None or shutil.which("ar") is None:
        pytest.skip("gcc or ar is not here")
    place = tmp_path_factory.mktemp("made")
    (place / "a.c").write_text("int f(void) { return 1; }\nint main(void) { return f(); }\n")
    for words in (["gcc", "-g", "-c", "a.c"], ["gcc", "-shared", "-fPIC", "-o", "liba.so.1.2", "a.c"], ["gcc", "-o", "prog", "a.c"],
                  ["ar", "rc", "liba.a", "a.o"]):  # fmt: skip
        subprocess.run(words, cwd=place, check=True, capture_output=True)
    return place


NAMES = ("a.o", "liba.so.1.2", "prog", "liba.a")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_whole_has_no_fault(name, made):
    assert artifacts.fault(str(made / name), (made / name).stat().st_size) == ""


@pytest.mark.parametrize("name", NAMES)
def test_wherever_it_is_cut_off_that_is_seen(name, made, tmp_path):
    content = (made / name).read_bytes()
    first = len(content) - 500 if name.endswith(".a") else 8  # between two members an archive ends well
    for end in [*range(first, len(content), max(1, len(content) // 150)), len(content) - 1]:
        (tmp_path / name).write_bytes(content[:end])
        assert artifacts.fault(str(tmp_path / name), end), f"cut at {end} of {len(content)}"


@settings(max_examples=300)
@given(name=st.sampled_from(["a.o", "b.a", "c.so", "d.whl", ".ninja_deps", ".ninja_log", "build.ninja", "x"]),
       head=st.sampled_from([b"", b"\x7fELF\x02\x01", b"\x7fELF\x01\x02", b"!<arch>\n", b"# ninjadeps\n", b"PK\x03\x04"]),
       rest=st.binary(max_size=200))  # fmt: skip
def test_no_content_makes_judging_raise(name, head, rest, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(head + rest)
    assert isinstance(artifacts.fault(str(path), len(head + rest)), str)

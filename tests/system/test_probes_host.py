"""The health, command and file probes on the machine as it is."""

import hashlib
import os
import struct
import time
from pathlib import Path

import psutil
import pytest

from runbook.modules import extent
from runbook.modules.declare import UNSEEN, Unclear
from runbook.modules.formats import validity
from runbook.modules.host import Host
from runbook.modules.probes import file as file_probe
from runbook.modules.probes.command import Command
from runbook.modules.probes.file import File
from runbook.modules.probes.health import Health


def look(probe, host=None):
    probe.check()
    [record] = probe.look(host or Host())
    return record


def test_health_agrees_with_what_the_machine_tells_others():
    record = look(Health())
    assert 0 <= record.cpu_percent <= 100
    assert record.load_per_cpu == pytest.approx(record.load1 / psutil.cpu_count())
    assert record.memory_available == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    assert record.disk_used_percent == pytest.approx(psutil.disk_usage("/").percent, abs=1)
    assert record.disk_free == pytest.approx(psutil.disk_usage("/").free, rel=0.05)
    assert record.uptime == pytest.approx(time.time() - psutil.boot_time(), abs=5)
    for percent in (record.memory_used_percent, record.swap_used_percent, record.open_files_percent):
        assert 0 <= percent <= 100
    for percent in (record.inodes_used_percent, record.pressure_memory):
        assert percent in (None, UNSEEN) or 0 <= percent <= 100


def test_health_of_the_processors_is_that_since_the_look_before():
    host = Host()
    look(Health(), host)
    kept = dict(host.kept["processor"])
    cores = psutil.cpu_count()
    kept.update(at=kept["at"] - 60, busy=kept["busy"] - 45 * cores, total=kept["total"] - 60 * cores)
    begun = time.monotonic()
    record = look(Health(), Host(remembered={"processor": kept}))
    assert record.cpu_percent == pytest.approx(75, abs=10)
    assert time.monotonic() - begun < 0.09, "it took a sample of its own"


def test_health_forgets_a_sample_of_another_boot():
    host = Host()
    look(Health(), host)
    kept = {**host.kept["processor"], "boot": 1.0, "at": host.kept["processor"]["at"] - 60, "busy": 0, "total": 0}
    assert 0 <= look(Health(), Host(remembered={"processor": kept})).cpu_percent <= 100


def test_a_file_system_without_inodes_has_no_share_of_them(monkeypatch):
    real = os.statvfs("/")
    fields = list(real)
    fields[5:8] = [0, 0, 0]  # f_files, f_ffree, f_favail: btrfs
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result(fields))
    assert look(Health()).inodes_used_percent is None


def test_what_this_kernel_does_not_tell_is_unseen(monkeypatch):
    real = os.open

    def refusing(path, *args, **options):
        if str(path).startswith("/proc/pressure"):
            raise FileNotFoundError(path)
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", refusing)
    record = look(Health())
    assert record.pressure_memory is UNSEEN
    assert record.disk_free > 0


def test_a_program_is_seen_with_its_exit_code_and_both_outputs(tmp_path):
    record = look(Command(("sh", "-c", "echo $A; pwd; echo bad >&2; exit 3"), {"A": "yes"}, str(tmp_path)))
    assert (record.exit_code, record.stdout, record.stderr) == (3, f"yes\n{tmp_path.resolve()}\n", "bad\n")
    assert 0 < record.duration < 10


def test_a_program_that_a_signal_ended_has_a_negative_exit_code():
    assert look(Command(("sh", "-c", "kill -9 $$"))).exit_code == -9


def test_a_missing_program_is_unclear():
    with pytest.raises(Unclear, match="the program `no-such-program` is not on the agent's PATH"):
        look(Command(("no-such-program",)))


def test_a_missing_directory_to_run_in_is_named(tmp_path):
    with pytest.raises(Unclear, match=f"true can't be started in {tmp_path}/none"):
        look(Command(("true",), {}, f"{tmp_path}/none"))


def ended(pid):
    """Tell whether a process ended; one that nobody reaped yet is a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path):
    pids = tmp_path / "pids"
    script = f"sleep 60 & echo $! $$ > {pids}; wait"
    begun = time.monotonic()
    with pytest.raises(Unclear, match=r"sh did not answer within 0\.5 s"):
        look(Command(("sh", "-c", script), timeout_=0.5))
    assert time.monotonic() - begun < 5
    until = time.monotonic() + 5
    for pid in map(int, pids.read_text().split()):
        while not ended(pid):  # a killed process takes a moment to end
            assert time.monotonic() < until
            time.sleep(0.01)


def test_a_child_that_keeps_the_pipe_open_does_not_hold_the_probe(tmp_path):
    begun = time.monotonic()
    record = look(Command(("sh", "-c", f"sleep 30 & echo $! > {tmp_path}/pid; echo done")))
    assert (record.stdout, record.exit_code) == ("done\n", 0)
    assert time.monotonic() - begun < 5
    os.kill(int((tmp_path / "pid").read_text()), 9)


def test_a_program_that_prints_for_ever_is_unclear():
    with pytest.raises(Unclear, match="yes printed more than 16 MiB"):
        look(Command(("yes",)))


def test_long_output_is_kept_at_both_ends():
    record = look(Command(("sh", "-c", "echo first; head -c 300000 /dev/zero | tr '\\0' x; echo; echo last")))
    assert record.stdout.startswith("first\n")
    assert record.stdout.endswith("last\n")
    assert len(record.stdout) < 66_000


def test_a_tree_too_large_to_be_walked_in_time_has_no_size(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("x")
    monkeypatch.setattr(file_probe, "BUDGET", -1.0)
    record = look(File((str(tmp_path / "a"),)))
    assert (record.exists, record.size, record.count, record.age) == (True, UNSEEN, UNSEEN, UNSEEN)
    assert record.mode == "0755"


def test_a_loop_of_links_below_a_directory_is_not_followed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to("..")
    assert look(File((str(tmp_path / "a"),))).count == 1


def test_a_walk_stays_on_its_file_system():
    counted = extent.Extent()
    counted.walk("/proc/self/fdinfo", time.monotonic() + 5)
    assert counted.complete


def test_what_was_judged_is_not_read_again_until_it_changes(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{}")
    host = Host()
    assert look(File((str(path),), "json"), host).valid is True
    before = path.stat()
    path.write_text("{,")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = Host(remembered=host.kept)
    assert look(File((str(path),), "json"), again).valid is True, "the same size and time: not read"
    os.utime(path)
    assert look(File((str(path),), "json"), Host(remembered=again.kept)).valid is False


def test_checksums_that_take_longer_than_a_look_go_on_in_the_next(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode() * 10)
    lines = [f"{hashlib.sha256(name.encode() * 10).hexdigest()}  {name}\n" for name in ("a", "b")]
    (tmp_path / "SHA256SUMS").write_text("".join(lines))
    clock = iter([0, 99])
    monkeypatch.setattr(validity.time, "monotonic", lambda: next(clock))
    path = str(tmp_path / "SHA256SUMS")
    verdict, known = validity.judge(path, "sha256", 10.0, {})
    assert verdict.valid is None
    assert "the next look goes on" in verdict.reason
    monkeypatch.undo()
    verdict, known = validity.judge(path, "sha256", time.monotonic() + 10, known)
    assert verdict.valid is True


def safetensors(header, data):
    return struct.pack("<Q", len(header)) + header + data


BROKEN = {
    "json": [b"{", b"\xff\xfe", b"[" * 100_000, b"   ", b'{"a": 1} x'],
    "yaml": [b"a: [1", b"a: b: c", b"\tx", b"- &a *b", b""],
    "toml": [b"a = ", b"[a]\n[a]\n", b""],
    "zip": [b"", b"PK\x03\x04", b"x" * 1000],
    "safetensors": [
        b"",
        b"\x01",
        struct.pack("<Q", 1 << 62) + b"{}",
        safetensors(b"[]", b""),
        safetensors(b'{"a": 1}', b""),
        safetensors(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}', b"1234"),
        safetensors(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}', b"12345678"),
        safetensors(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', b"12345"),
        safetensors(b'{"a": {"dtype": "F32", "shape": "x", "data_offsets": [0, "b"]}}', b"1234"),
    ],
    "sha256": [b"", b"no checksum\n"],
}
SOUND = {
    "json": [b"{}", b"[NaN]", b"\xef\xbb\xbf1"],
    "yaml": [b"a: 1\n", b"--- 1\n--- 2\n", b"# nothing but this\n"],
    "toml": [b"a = 1\n"],
    "safetensors": [safetensors(b"{}", b""), safetensors(b'{"__metadata__": {"format": "pt"}}  ', b"")],
}


@pytest.mark.parametrize(("form", "content"), [(form, content) for form, all_ in BROKEN.items() for content in all_])
def test_what_is_broken_is_not_valid_and_says_why(tmp_path, form, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    record = look(File((str(path),), form))
    assert record.valid is False
    assert record.reason.startswith(f"{path}: ")


@pytest.mark.parametrize(("form", "content"), [(form, content) for form, all_ in SOUND.items() for content in all_])
def test_what_is_sound_is_valid(tmp_path, form, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    record = look(File((str(path),), form))
    assert (record.valid, record.reason) == (True, "")


def test_a_format_that_this_python_can_not_read_is_unseen_and_says_what_to_install(tmp_path, monkeypatch):
    path = Path(tmp_path, "x.yaml")
    path.write_text("a: 1")

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(validity.importlib, "import_module", missing)
    record = look(File((str(path),), "yaml"))
    assert record.valid is UNSEEN
    assert "python3 -m pip install ruamel.yaml" in record.reason

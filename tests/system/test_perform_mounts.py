"""A mount below a writable entry is not crossed, not even a bind mount of the same file system."""

import json
import os
import shutil
import subprocess
import sys

import pytest

SCRIPT = """
import json, os, subprocess, sys
from runbook.modules.acting import walking
from runbook.modules.actions import Delete, Own, Write, Move, Entry
from runbook.modules.acting.hands import Hands
from runbook.modules.host import Host
from runbook.modules.acting.perform import Performance

tmp = sys.argv[1]
def mount(source, target): subprocess.run(["mount", "--bind", source, target], check=True)
os.makedirs(f"{tmp}/w/below/d"); os.makedirs(f"{tmp}/outside/d"); os.makedirs(f"{tmp}/w/a b")
for name in ("outside/f", "outside/d/f", "w/file", "w/own", "w/a b/x"):
    open(f"{tmp}/{name}", "w").write(name)
mount(f"{tmp}/outside", f"{tmp}/w/below"); mount(f"{tmp}/outside/f", f"{tmp}/w/file"); mount(f"{tmp}/outside/d", f"{tmp}/w/a b")
told = {"walk": {found.path: found.mount for found in walking.walk(Host(), f"{tmp}/w")}}

def entry(path):
    seen = os.lstat(f"{tmp}/w/{path}")
    return Entry(path, seen.st_dev, seen.st_ino, 0, os.path.isdir(f"{tmp}/w/{path}"))

def attempt(name, action, writable=f"{tmp}/w"):
    hands = Hands([writable], lambda _: None, lambda _: None)
    try:
        Performance(hands, [action]).carry_out()
        told[name] = "done"
    except Exception as error:
        told[name] = f"{type(error).__name__}: {error}"
    finally:
        hands.close()

attempt("delete below", Delete(f"{tmp}/w", (entry("below/f"),)))
attempt("delete file", Delete(f"{tmp}/w", (entry("file"),)))
attempt("delete mount", Delete(f"{tmp}/w", (entry("below/d"),)))
attempt("own below", Own(f"{tmp}/w", (entry("below/f"),), file_mode=0o666))
attempt("own file", Own(f"{tmp}/w", (entry("file"),), file_mode=0o666))
attempt("own mount", Own(f"{tmp}/w", (entry("below"),), directory_mode=0o777))
attempt("write file", Write(f"{tmp}/w/file", b"x"))
attempt("write below", Write(f"{tmp}/w/below/f", b"x"))
attempt("write blank", Write(f"{tmp}/w/a b/f", b"x"))
attempt("move below", Move(f"{tmp}/w/own", f"{tmp}/w/below/moved"))
attempt("entry is a mount", Write(f"{tmp}/w/below/f", b"fine"), f"{tmp}/w/below")
told["outside"] = {name: open(f"{tmp}/{name}").read() for name in ("outside/f", "outside/d/f")}
print(json.dumps(told))
"""


def may_mount():
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture
def told(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", sys.executable, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.root
@pytest.mark.skipif(not may_mount(), reason="needs root and a kernel that lets it mount in a namespace of its own")
def test_mounts_below_a_writable_entry_are_seen_and_not_crossed(told):
    assert told["walk"] == {"file": True, "own": False, "below": True, "a b": True, "": False}
    for name in ("delete below", "delete file", "delete mount", "own below", "own file", "own mount"):
        assert told[name].startswith("Refused: "), (name, told[name])
        assert "mounted there" in told[name]
    for name in ("write file", "write below", "write blank", "move below"):
        assert "something is mounted there; a mount below `writable` is not crossed" in told[name], name
    assert told["entry is a mount"] == "done"
    assert told["outside"] == {"outside/f": "fine", "outside/d/f": "outside/d/f"}

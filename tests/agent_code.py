"""The code of agents as it lies on a host that was looked at before: what its first look spends on it is spared.

How the code gets there is a subject of its own (`tests/system/test_agent_start.py`); other tests find it in its place.
"""

from __future__ import annotations

import compileall
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from runbook.engine.fleet import pack


def furnish(agent_dir: Path) -> str:
    """Lay the code into what is going to be `$RUNBOOK_AGENT_DIR`, and return its name for the environment."""
    place, folders, files = _code()
    base = agent_dir / "agent"
    code = base / "code" / pack.digest()
    if code.exists():
        return str(agent_dir)
    for folder in (agent_dir, base, base / "code", code, *(code / name for name in folders)):
        folder.mkdir(mode=0o700, exist_ok=True)
    for name in files:
        try:
            os.link(place / name, code / name)
        except OSError:  # another file system
            shutil.copy2(place / name, code / name)
    return str(agent_dir)


def forget() -> None:
    """Remove what this process made, at its end; what tests got of it is theirs."""
    if _code.cache_info().currsize:
        shutil.rmtree(_code()[0], ignore_errors=True)
        _code.cache_clear()


@cache
def _code() -> tuple[Path, list[str], list[str]]:
    """Return where the code lies for all tests of this process, compiled; its folders and its files."""
    place = Path(tempfile.mkdtemp(prefix="runbook-agent-code-"))
    for name, content in pack.contents().items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    compileall.compile_dir(place, quiet=2)
    found = sorted(place.rglob("*"))
    folders = [str(path.relative_to(place)) for path in found if path.is_dir()]
    return place, folders, [str(path.relative_to(place)) for path in found if not path.is_dir()]

"""The command line of a service: absolute, whatever directory and PATH it begins with."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runbook.engine.install.sandbox import beneath
from runbook.modules.bootstrap import safe
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PATHLIKE: Final = frozenset({"FILE", "DIR", "PATH"})
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # what systemd gives a unit
_PASSED: Final = ("RUNBOOK_JOURNAL", "RUNBOOK_CONFIG", "RUNBOOK_AGENT_DIR")
LEFT: Final = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE"),
    *("HF_HOME", "HF_TOKEN", "HF_ENDPOINT", "KUBECONFIG", "SLURM_CONF", "SSH_AUTH_SOCK", "LD_LIBRARY_PATH"),
)


@frozen
class Word:
    """An option as it was given."""

    flag: str  # --inventory
    value: str | None = None  # None: it takes none
    kind: str = ""  # what its help calls the value: FILE|DIR|A,B,
    writes: bool = False  # it names a file, or directory, that is written


def program() -> tuple[str, ...]:
    """Return how this very runbook is started: its script, or its interpreter."""
    script = Path(sys.executable).with_name("runbook")
    if script.is_file() and os.access(script, os.X_OK):
        return (str(script),)
    return (sys.executable, "-P", "-m", "runbook")


def code() -> tuple[str, ...]:
    """Return where the code lies that is run: the interpreter, its environment, and runbook itself."""
    import runbook

    folder = os.path.dirname(os.path.realpath(os.path.dirname(runbook.__file__)))  # noqa: PTH120
    rooms = os.path.realpath(os.path.join(os.path.dirname(runbook.__file__), "engine"))  # noqa: PTH118, PTH120
    return tuple(
        dict.fromkeys((sys.executable, os.path.realpath(sys.executable), sys.prefix, sys.base_prefix, folder, rooms))
    )


def argument(name: str, bundled: Iterable[str]) -> str:
    """Return a RUNBOOK as a service names it: whole, or the name of a bundled one."""
    stem = name.removesuffix(".yaml")
    return name if "/" not in name and stem in bundled and not os.path.exists(name) else _absolute(name)  # noqa: PTH110


def given(words: Sequence[Word]) -> list[str]:
    """Return options as a service is given them: every path in them whole."""
    found = []
    for word in words:
        found.append(word.flag)
        if word.value is not None:
            found.append(_whole(word))
    return found


def paths(words: Sequence[Word], *, written: bool) -> list[str]:
    """Return the files and directories that options name."""
    found = []
    for word in words:
        if word.value is None or word.writes is not written:
            continue
        whole = _whole(word)
        path = whole.rpartition("@")[2] if "@" in word.kind else whole
        if path.startswith("/"):
            found.append(path)
    return found


def environment(*, system: bool, homes: Sequence[str] = ()) -> dict[str, str]:
    """Return what a service's environment has beyond systemd's own: where programs are, and where the journal is.

    Args:
        system: it runs for the machine, not for a user.
        homes: directories that it does not see; nothing is looked for there.
    """
    found = {name: _absolute(os.environ[name]) for name in _PASSED if os.environ.get(name)}
    usual = PATH.split(":")
    more = [path for path in os.environ.get("PATH", "").split(":") if path not in usual and safe(path)]
    more = [path for path in more if not any(beneath(path, home) for home in homes)]
    more = [path for path in dict.fromkeys(more) if not beneath(path, sys.prefix)]
    if more:
        found["PATH"] = ":".join([*more, *usual])
    if system:
        found["HOME"] = pwd.getpwuid(os.geteuid()).pw_dir  # systemd leaves it out, and kubectl wants to know
    return found


def left(environment: Mapping[str, str], file: Iterable[str]) -> list[str]:
    """Return the variables that are set here, mean something to modules, and that a service would not have."""
    return [name for name in LEFT if os.environ.get(name) and name not in environment and name not in set(file)]


def _whole(word: Word) -> str:
    value = word.value or ""
    kinds = set(word.kind.replace("@", "|").split("|"))
    if not kinds & _PATHLIKE:
        return value
    if "@" in word.kind:
        before, at, path = value.partition("@")
        if not at or path == "prompt" or ("=" in before and "@FILE" in word.kind):
            return value
        return f"{before}@{_absolute(path)}"
    if "A,B," in kinds and ("," in value or "A" in kinds):
        return value if "," in value else _absolute(value)
    return _absolute(value)


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 -- a link stays a link

"""The command line that starts an agent on a far host, whatever shell its user has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runbook.engine.errors import UserError
from runbook.engine.fleet import become as becoming
from runbook.engine.fleet import pack
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.engine.fleet.become import Become

AUTO = "auto"
_NAMES = ("python3", "python3.13", "python3.12", "python3.11", "python3.10", "python3.9")
_PLATFORM = "/usr/libexec/platform-python"
_PLAIN = re.compile(r"~?[A-Za-z0-9_./+@:-]+")


@frozen
class Start:
    """How an agent is started."""

    command: str  # one line; sh, csh and fish read it alike
    before: bytes = b""  # what goes to its standard input first; the rest follows when the agent has said its mark


def start(python: str = AUTO, become: Become | None = None) -> Start:
    """Return what starts an agent with the first suitable Python of a host, in one round trip.

    Args:
        python: an interpreter on the host, or `auto`: what the PATH has, or else the usual places; under `become`
            those alone, since the PATH may be the login user's.
        become: as whom it runs, if not as the user who logs in.

    Raises:
        UserError: the interpreter's or the user's name can't be one.
    """
    if not _PLAIN.fullmatch(python):
        raise UserError(
            f"python_interpreter: {python!r} is no path of an interpreter",
            mend="give `auto`, or a path of letters, digits and . _ - + @ : /",
        )
    script = _script(_candidates(python, become), python, become)
    words = ["/bin/sh", "-c", 'eval "$1"', "runbook", script, pack.loader()]
    if become is None:
        return Start(f"exec {_line(words)}")
    return Start(f"exec {_line([*becoming.argv(become), *words])}", becoming.before(become))


def _candidates(python: str, become: Become | None) -> tuple[str, ...]:
    if python != AUTO:
        return (python,)
    fixed = tuple(f"/usr/bin/{name}" for name in _NAMES) + tuple(f"/usr/local/bin/{name}" for name in _NAMES)
    return (*fixed, _PLATFORM) if become is not None else (*_NAMES, *fixed, _PLATFORM)


def _script(candidates: tuple[str, ...], python: str, become: Become | None) -> str:
    """Return what a shell runs: it becomes the first Python that was not tried yet, which says when it is too old.

    Its own text and the loader travel along, so that the next one can be tried from there.
    """
    where = "" if python == AUTO else f"{python}: "
    safe = f"{becoming.SAFE} " if become is not None and python != AUTO else ""
    return (
        f"s=$1; l=$2; shift 2; for p in {' '.join(candidates)}; do "
        'case $p in /*) q=$p;; *) q=$(command -v $p);; esac; [ -x "$q" ] || continue; '
        'case " $* " in *" $q "*) continue;; esac; '
        f'{safe}exec "$q" -I -S -c "$l" "$s" "$l" "$@" "$q"; done; '
        f'echo "runbook: {where}no Python 3.9 or newer; found: ${{*:-none}}" >&2; exit 127'
    )


def _line(words: list[str]) -> str:
    return " ".join(word if re.fullmatch(r"[\w/.=-]+", word) else f"'{word}'" for word in words)

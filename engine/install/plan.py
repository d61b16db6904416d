"""From what is to be watched to what is written: a unit, or a line for cron."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from typing import TYPE_CHECKING, Final

from runbook.engine.errors import UserError
from runbook.engine.install import ground, refusals, words
from runbook.engine.install.sandbox import settings
from runbook.engine.install.unit import Service
from runbook.engine.journal import location
from runbook.engine.watching.reloading import of_inventory
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.install.ground import Watched
    from runbook.engine.install.words import Word

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,100}")
_STATE: Final = "/var/lib/runbook"
_MOST: Final = 500  # directories of an inventory, of signatures or of modules


@frozen
class Asked:
    """What `runbook install` was asked for."""

    name: str  # --name; empty: after the runbooks
    arguments: tuple[str, ...]  # RUNBOOK…, whole
    words: tuple[Word, ...]  # the options of `runbook watch`
    journal: str | None = None
    environment_file: str = ""
    grace: float = 30.0  # seconds
    version: int = 0  # of systemd
    cron: bool = False


def named(asked: Asked, watched: Watched) -> str:
    """Return what the service is called.

    Raises:
        UserError: `--name` can't be one.
    """
    if asked.name:
        given = asked.name.removesuffix(".service")
        if _NAME.fullmatch(given) is None:
            mend = "use letters, digits, `-`, `_` and `.`, beginning with a letter or digit"
            raise UserError(f"{asked.name!r} can't be a service's name", where="--name", mend=mend)
        return given
    if len(watched.requests) != 1:
        return "runbook"
    return f"runbook-{_plain(watched.requests[0].runbook.name)}"


def _plain(name: str) -> str:
    """Return a runbook's name as a unit may bear it; what Latin letters can't tell apart, a number does.

    Example:
        >>> _plain("GPU fleet: node 7"), _plain("推理")
        ('GPU-fleet-node-7', '132411ba')
    """
    found = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:80]
    number = "" if found and name.isascii() else hashlib.sha256(name.encode()).hexdigest()[:8]
    return "-".join(filter(None, (found, number)))


def service(asked: Asked, watched: Watched) -> Service:
    """Return what the unit is made from.

    Raises:
        UserError: its name can't be one, or a `writable` tree can't be made out.
    """
    found = ground.ground(watched)
    unseen = () if found.home else ground.HOMES
    journal = location.choose(asked.journal)
    program = words.program()
    needed = [program[0], *refusals.sources(each.runbook for each in watched.requests)]
    needed += [path for path in words.paths(asked.words, written=False) if os.path.exists(path)]  # noqa: PTH110
    needed.append(os.path.dirname(journal))  # noqa: PTH120
    return Service(
        name=named(asked, watched),
        argv=(*program, "watch", *words.given(asked.words), "--", *asked.arguments),
        runbooks=tuple(request.runbook.name for request in watched.requests),
        files=asked.arguments,
        journal=journal,
        settings=tuple(settings(found)),
        needed=tuple(dict.fromkeys(path for path in needed if path.startswith("/"))),
        grace=asked.grace,
        environment=words.environment(system=watched.system, homes=unseen),
        environment_file=asked.environment_file,
        directory=_directory(),
        system=watched.system,
        far=any(map(ground.far, watched.requests)),
        version=asked.version,
    )


def written(asked: Asked, *, system: bool) -> tuple[str, ...]:
    """Return the directories that the watch writes in beside its state directory: they are there, or their parents."""
    places = [os.path.dirname(location.choose(asked.journal))]  # noqa: PTH120
    named = words.paths(asked.words, written=True)
    places += [path if os.path.isdir(path) else os.path.dirname(path) for path in named]  # noqa: PTH112, PTH120
    agents = os.environ.get("RUNBOOK_AGENT_DIR")
    if agents:
        places.append(os.path.abspath(agents))  # noqa: PTH100
    if any(word.flag == "--accept-new" for word in asked.words):
        places.append(os.path.expanduser("~/.ssh"))  # noqa: PTH111
    own = {_STATE} if system else set()
    return tuple(place for place in dict.fromkeys(places) if place not in own)


def problems(asked: Asked, watched: Watched) -> Iterator[UserError]:
    """Yield what would not work, or not be safe."""
    variables: frozenset[str] = frozenset()
    if asked.environment_file:
        try:
            variables = refusals.variables(asked.environment_file)
        except UserError as error:
            yield error
    for request in watched.requests:
        yield from refusals.secrets(request.runbook, request.secrets.keys(), variables, cron=asked.cron)
        yield from refusals.relative(request.runbook)
    if os.geteuid() == 0 and watched.system:
        for wrong in itertools.islice(refusals.untrusted(words.code()), 1):
            wrong.mend = (
                "python3 -m venv /opt/runbook && /opt/runbook/bin/pip install runbook, and install it from there"
            )
            yield wrong
        yield from refusals.untrusted(_obeyed(asked, watched))


def _obeyed(asked: Asked, watched: Watched) -> Iterator[str]:
    """Yield the files that the service does what they say, each once."""
    found = [*refusals.sources(each.runbook for each in watched.requests), *watched.settings, asked.environment_file]
    for path in words.paths(asked.words, written=False):
        found += [path, *of_inventory(path)]
    for path in dict.fromkeys(filter(os.path.exists, found)):
        yield path
        for place, _, names in itertools.islice(os.walk(path), _MOST):
            yield from (os.path.join(place, name) for name in names)  # noqa: PTH118


def _directory() -> str:
    """Return where the service must begin: where its configuration or its modules lie; empty: anywhere."""
    return os.getcwd() if any(os.path.exists(name) for name in ("runbook.toml", "runbook_modules")) else ""  # noqa: PTH109, PTH110

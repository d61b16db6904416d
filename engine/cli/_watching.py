"""What `runbook watch` prints to, and how it is stopped."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from runbook.engine.alerts.alerts import Alerts
    from runbook.engine.driver import Observer
    from runbook.engine.journal.store import Journal
    from runbook.engine.report.metrics import Metrics
    from runbook.engine.start import Request
    from runbook.engine.watching.tallies import Telling


_BESIDE = (".test", ".drill")  # what stands beside runbooks in a directory, before .yaml


def files(words: tuple[str, ...]) -> list[str]:
    """Return the runbooks that are meant: those of a directory are all of its YAML files but cases and drills.

    Raises:
        UserError: a directory holds none.
    """
    found: list[str] = []
    for word in words:
        place = Path(word)
        if not place.is_dir():
            found.append(word)
            continue
        listed = sorted(each for each in place.iterdir() if each.suffix in {".yaml", ".yml"} and each.is_file())
        own = [str(each) for each in listed if not each.stem.endswith(_BESIDE) and not each.name.startswith(".")]
        if not own:
            raise UserError("there is no runbook in this directory", where=word, mend="put one there: NAME.yaml")
        found += own
    return list(dict.fromkeys(found))


def present(words: tuple[str, ...]) -> list[str]:
    """Return the runbooks that are meant, as far as there are any."""
    found: list[str] = []
    for word in words:
        with contextlib.suppress(UserError, OSError):
            found += files((word,))
    return found


def exposed(paths: Iterable[str]) -> list[str]:
    """Say of each file that others than this user and root can change it: they decide what a watch does."""
    from runbook.modules.bootstrap import others_write

    found = []
    for path in dict.fromkeys(os.path.realpath(path) for path in paths):
        for place in (path, os.path.dirname(path)):  # noqa: PTH120
            try:
                seen = os.stat(place)  # noqa: PTH116
            except OSError:
                continue
            if seen.st_uid not in {os.geteuid(), 0}:
                found.append(f"{path} can be changed by uid {seen.st_uid}, who so decides what is done here")
            elif others_write(seen) and not (place != path and seen.st_mode & stat.S_ISVTX):
                found.append(f"{path} can be changed by others, who so decide what is done here: chmod go-w {place}")
            else:
                continue
            break
    return found


@contextlib.contextmanager
def log(given: Mapping[str, Any], redact: Callable[[str], str]) -> Iterator[Observer]:
    """Give what a watch tells what happens to."""
    from runbook.engine.report.watching import watching

    verbosity = -1 if given["quiet"] else given["verbose"]
    with watching(given["form"], file=given["log"], verbosity=verbosity, redact=redact) as observer:
        yield observer


@contextlib.contextmanager
def measuring(address: str | None, journal: str | None) -> Iterator[Metrics | None]:
    """Serve what is measured; nothing without an address."""
    if address is None:
        yield None
        return
    from runbook.engine.journal import location
    from runbook.engine.report.metrics import Metrics, serve

    metrics = Metrics()
    metrics.journal(location.choose(journal))
    close = serve(address, metrics)
    try:
        yield metrics
    finally:
        close()


def alerts(address: str | None) -> Callable[[Callable[[], None]], Alerts] | None:
    """Return what opens the ear for alerts; nothing without an address."""
    if address is None:
        return None
    from runbook.engine import configuration
    from runbook.engine.alerts.alerts import Alerts
    from runbook.engine.alerts.token import token

    return lambda call: Alerts(address, token(configuration.read()), call)


@contextlib.contextmanager
def forgetting(journal: str | None, retain: float | None) -> Iterator[Callable[[], bool] | None]:
    """Give what forgets a slice of the journal that is older than `--retain`; nothing without that."""
    if retain is None:
        yield None
        return
    from runbook.engine.journal import watches
    from runbook.engine.journal.locks import Locks
    from runbook.engine.journal.prune import Forgetting
    from runbook.engine.journal.store import open_journal

    with contextlib.ExitStack() as stack:
        held: list[Locks] = []

        def lives(book: Journal) -> watches.Alive:
            if not held:  # not before the journal can be opened: a watch begins without it, too
                held.append(stack.enter_context(Locks(book.path)))
            return watches.lives(book, held[0])

        forget = Forgetting(lambda: open_journal(journal), retain, lives)
        stack.callback(forget.close)
        yield forget


def stop_command() -> str:
    """Return the command that ends this watch, for whoever is told that it is there."""
    named = unit()
    if named:
        user = "" if os.geteuid() == 0 else " --user"
        return f"systemctl{user} stop {named}"
    return f"kill {os.getpid()}" + ("  (or Ctrl-C in its terminal)" if sys.stdout.isatty() else "")


def unit() -> str:
    """Return the systemd unit that this process belongs to, if systemd started it."""
    if not os.environ.get("INVOCATION_ID"):
        return ""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:  # noqa: PTH123
            last = file.read().rstrip("\n").rpartition("/")[2]
    except OSError:
        return ""
    return last if last.endswith(".service") else ""


def telling(given: Mapping[str, Any]) -> Telling:
    """Return what is wanted of what looks count."""
    from runbook.engine.watching.tallies import Telling

    return Telling(counts=given["counts"], until_done=given["until_done"])


def adjusted(request: Request, given: Mapping[str, Any]) -> Request:
    """Return a request that looks as often as --every says, and counts where that is wanted."""
    from dataclasses import replace

    from runbook.engine.cli import _admitting
    from runbook.engine.watching import tallies

    runbook = request.runbook
    if given["every"] is not None:
        every = _admitting.seconds(given["every"], "--every")
        if every <= 0:
            raise UserError("it must be more than nothing", where="--every", mend="write 30s or 2m")
        slower = (
            replace(each, every=None, verify=replace(each.verify, every=max(each.verify.every, every)))
            if each.verify.given
            else replace(each, every=None)
            for each in runbook.detectors
        )
        runbook = replace(runbook, every=every, detectors=tuple(slower))
    return replace(request, runbook=tallies.counting(runbook) if telling(given) else runbook)


def ends(requests: Iterable[Request], given: Mapping[str, Any]) -> None:
    """See that something ends some time, and can be counted, where that is waited for.

    Raises:
        UserError: nothing does.
    """
    from runbook.engine.watching.tallies import Tallies

    wanted = telling(given)
    if wanted and not any(Tallies(wanted, request.runbook.detectors) for request in requests):
        where = "--until-done" if given["until_done"] else "--show-job-counts"
        raise UserError("nothing that is looked at here has an end", where=where,
                        mend="it is for runbooks with a `slurm` detector, such as slurm-recover")  # fmt: skip

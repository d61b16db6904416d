"""What can be heard of the sources of a `log` probe."""

import os
from typing import Any, Iterator, Mapping, Sequence, Union

from runbook.modules.host import Host
from runbook.modules.listening import sources as listening
from runbook.modules.listening.sources import Source
from runbook.modules.logs import journal, kernel


def sources(
    host: Host,
    paths: Sequence[str],
    journalled: Union[bool, Mapping[Any, Any]],
    containers: Sequence[str],
    *,
    kernel: bool,
) -> Iterator[Source]:
    """Yield what a look at them listens to: the files and what rotation makes of them, and who else writes."""
    for path in paths:
        yield listening.path(path, rotated=True)
    if journalled:
        given = {} if journalled is True else journalled
        yield from _journal(given.get("directory", journal.PLACES))
    if kernel:
        yield from _kernel()
    if containers:
        for path in _containers(host.kept.get("docker", {})):
            yield listening.path(path, rotated=True)


def _journal(places: Any) -> Iterator[Source]:
    """Journald tells readers of an entry by its files, a quarter of a second later at most."""
    for place in (places,) if isinstance(places, str) else places:
        yield listening.path(f"{place}/*.journal")
        yield listening.path(f"{place}/*/*.journal")


def _kernel() -> Iterator[Source]:
    """Who may not read the device reads the journal, which has it from there."""
    if os.access(kernel.DEVICE, os.R_OK):
        yield listening.kernel()
    else:
        yield from _journal(journal.PLACES)


def _containers(kept: Mapping[str, Any]) -> Iterator[str]:
    """Yield the logs that were read, and where the containers lie: another one of the name gets another log."""
    for shelf in kept.get("cursors", {}).values():
        yield from shelf
    for folders in kept.get("ground", {}).values():
        yield from (f"{folder}/*" for folder in folders)

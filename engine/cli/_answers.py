"""What hosts answer to one question, asked of all at once: while they are awaited, a terminal shows for whom."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

One = TypeVar("One")


def watched(found: Iterable[tuple[str, One]], names: Sequence[str], title: str) -> Iterator[tuple[str, One]]:
    """Yield each host's answer as it comes.

    Args:
        found: the hosts' names and answers.
        names: all hosts that are asked.
        title: what stands above those that are awaited, where that takes long.
    """
    from runbook.engine.report.paint import on_terminal, paint_for

    if len(names) == 1 or not on_terminal(sys.stdout):
        yield from found
        return
    from runbook.engine.report.board import Board

    board = Board(sys.stdout, paint_for(sys.stdout))
    board.begin(title, names)
    try:
        for host, answer in found:
            board.done(host)
            yield host, answer
    finally:
        board.end()

"""The loops of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def loops(follow: Sequence[Iterable[int]]) -> list[set[int]]:
    """Return the sets of nodes each of which leads to every other; `follow` says what comes after each (Tarjan)."""
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    found: list[set[int]] = []
    for root in range(len(follow)):
        if root in order:
            continue
        work = [(root, iter(follow[root]))]
        order[root] = low[root] = len(order)
        stack.append(root)
        while work:
            here, rest = work[-1]
            for after in rest:
                if after not in order:
                    order[after] = low[after] = len(order)
                    stack.append(after)
                    work.append((after, iter(follow[after])))
                    break
                if after in stack:
                    low[here] = min(low[here], order[after])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[here])
                if low[here] == order[here]:
                    cut = stack.index(here)
                    component = set(stack[cut:])
                    del stack[cut:]
                    if len(component) > 1 or here in follow[here]:
                        found.append(component)
    return found

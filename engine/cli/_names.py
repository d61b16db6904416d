"""What shells complete: names of bundled runbooks, runbook files, steps, probes and signatures."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

_LISTS = ("signatures", "xid")


def runbooks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete bundled runbooks and the YAML files here; a path is left to the shell."""
    from click.shell_completion import CompletionItem

    del ctx, param
    found: list[CompletionItem] = []
    if os.sep not in incomplete and not incomplete.startswith((".", "~")):
        here = [name for name in os.listdir() if name.endswith((".yaml", ".yml"))]  # noqa: PTH208 -- names only
        names = [*bundled(), *sorted(here)]
        found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


def steps(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the names of steps."""
    from runbook.modules import catalogue

    del ctx, param
    _own()
    return [name for name in catalogue.step_names() if name.startswith(incomplete)]


def probes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the names of probes."""
    from runbook.modules import catalogue

    del ctx, param
    _own()
    return [name for name in catalogue.probe_names() if name.startswith(incomplete)]


def modules(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the names of steps and probes."""
    return sorted({*steps(ctx, param, incomplete), *probes(ctx, param, incomplete)})


def explained(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete what `doc` explains: steps, probes, and signatures once their area is begun."""
    found = modules(ctx, param, incomplete)
    return [*found, *signatures(ctx, param, incomplete), *(n for n in _LISTS if n.startswith(incomplete))]


def signatures(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the ids of signatures, whole areas first."""
    from runbook.engine.errors import UserError
    from runbook.engine.language import signatures

    del ctx, param
    try:
        ids = [name for name in signatures.catalogue().signatures if name.startswith(incomplete)]
    except UserError:  # a file of the user's is wrong: other commands say so
        return []
    areas = sorted({f"{name.partition('.')[0]}.*" for name in ids})
    return areas if "." not in incomplete and len(areas) > 1 else sorted(ids)


def _own() -> None:
    """Enlist the modules of the folder here, too."""
    from runbook.engine.language.own import enlist

    deque(enlist.everything(), maxlen=0)


def bundled() -> list[str]:
    """Return the names of the bundled runbooks, sorted."""
    folder = Path(__file__).parents[2] / "runbooks"
    return sorted(
        name.removesuffix(".yaml")
        for name in os.listdir(folder)  # noqa: PTH208 -- names only
        if name.endswith(".yaml") and not name.endswith((".test.yaml", ".drill.yaml"))
    )

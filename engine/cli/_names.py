"""What shells complete: names of bundled runbooks, runbook files, steps and probes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem


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
    return [name for name in catalogue.step_names() if name.startswith(incomplete)]


def probes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the names of probes."""
    from runbook.modules import catalogue

    del ctx, param
    return [name for name in catalogue.probe_names() if name.startswith(incomplete)]


def modules(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the names of steps and probes."""
    return sorted({*steps(ctx, param, incomplete), *probes(ctx, param, incomplete)})


def bundled() -> list[str]:
    """Return the names of the bundled runbooks, sorted."""
    folder = Path(__file__).parents[2] / "runbooks"
    return sorted(
        name.removesuffix(".yaml")
        for name in os.listdir(folder)  # noqa: PTH208 -- names only
        if name.endswith(".yaml") and not name.endswith(".test.yaml")
    )

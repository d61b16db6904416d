"""`runbook doc`: what the probes and steps are, and what they take."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import click

from runbook.engine.cli import _names
from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.manual import Noun, Page


@click.command("doc", short_help="List the probes and steps, or explain one.")
@click.argument("module", required=False, metavar="[MODULE]", shell_complete=_names.modules)
@click.option("--step", "noun", flag_value="step", type=str, help="Only steps, where a probe has the same name.")
@click.option("--probe", "noun", flag_value="probe", type=str, help="Only probes.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
    help="text for people; json and markdown give whole pages, of all modules where none is named.",
)
def command(module: str | None, noun: Noun | None, form: Literal["text", "json", "markdown"]) -> None:
    """List the probes and steps, or tell all about one: its parameters, its records' fields, its impact, an example.

    \b
    Examples:
      runbook doc
      runbook doc clear_cache
      runbook doc --probe daemon
      runbook doc --format markdown > modules.md
    """
    from runbook.engine.report import manual, paint

    pages = list(_pages(module, noun))
    colours = paint.paint_for(sys.stdout)
    if form == "json":
        shown = manual.document(pages)
    elif form == "markdown":
        shown = "\n".join(manual.markdown(pages)).rstrip("\n")
    elif module is None:
        shown = "\n".join(map(colours.fit, manual.listing(pages, colours)))
    else:
        shown = "\n\n".join("\n".join(map(colours.fit, manual.text(page, colours))) for page in pages)
    click.echo(shown)


def _pages(module: str | None, noun: Noun | None) -> Iterator[Page]:
    """Yield what is asked for: probes first, as in a detector."""
    from runbook.engine.language import manual

    known = {name: nouns for name, nouns in manual.names().items() if noun is None or noun in nouns}
    if module is not None and module not in known:
        from runbook.engine.language.nearest import nearest

        near = nearest(module, known)
        mend = f"did you mean `{near}`?" if near else "`runbook doc` lists them"
        raise UserError(f"there is no {noun or 'module'} `{module}`", mend=mend)
    nouns: tuple[Noun, ...] = ("probe", "step")
    for each in nouns:
        if noun in {None, each}:
            yield from (manual.page(each, name) for name in known if module in {None, name} and each in known[name])

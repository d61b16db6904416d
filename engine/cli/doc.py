"""`runbook doc`: what the probes and steps are, what they take, and what the catalogue of failures holds."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Literal

import click

from runbook.engine.cli import _names
from runbook.engine.cli import _options as options
from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runbook.engine.language.manual import Noun, Page
    from runbook.engine.language.signatures import Xid

Form = Literal["text", "json", "markdown"]
_CATALOGUE = ("signatures", "xid")


@click.command("doc", short_help="List the probes and steps, or the failures it knows, or explain one.")
@click.argument("module", required=False, metavar="[MODULE | SIGNATURE]", shell_complete=_names.explained)
@click.argument("pattern", required=False, metavar="[PATTERN]", shell_complete=_names.signatures)
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
@click.option(
    "--signatures",
    "extra",
    multiple=True,
    metavar="FILE|DIR",
    type=click.Path(),
    help="Signatures of your own, over those of the catalogue. Repeatable.",
)
@options.module_path
def command(
    module: str | None,
    pattern: str | None,
    noun: Noun | None,
    form: Form,
    extra: tuple[str, ...],
) -> None:
    """List the probes and steps, or tell all about one: its parameters, its records' fields, its impact, an example.

    `signatures` lists the failures that logs tell of, as far as they match PATTERN; a signature's id, such as
    cuda.oom, tells what one means and what to do. `xid` lists the codes of the NVIDIA driver, `xid.79` explains one.

    \b
    Examples:
      runbook doc
      runbook doc clear_cache
      runbook doc --probe daemon
      runbook doc --format markdown > modules.md
      runbook doc signatures 'cuda.*'
      runbook doc cuda.oom
      runbook doc xid.79
    """
    if module is not None and noun is None and (module in _CATALOGUE or "." in module or "*" in module):
        click.echo(_catalogue(module, pattern, form, extra))
        return
    if pattern is not None:
        raise UserError(f"`{pattern}` is one word too many", mend="a pattern follows `signatures` only")
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
    from runbook.engine.language.own import enlist

    if module is None:
        deque(enlist.everything(), maxlen=0)
    elif module not in manual.names():
        enlist.ask(module)
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


def _catalogue(name: str, pattern: str | None, form: Form, extra: tuple[str, ...]) -> str:
    """Return what is asked for of the catalogue."""
    from runbook.engine.language import signatures
    from runbook.engine.report import paint
    from runbook.engine.report import signatures as shown

    catalogue = signatures.catalogue(extra, samples=True)
    colours = paint.paint_for(sys.stdout)
    if name == "xid" or name.startswith("xid."):
        wanted = name.removeprefix("xid").removeprefix(".") or pattern or ""
        codes, source = _codes(wanted, catalogue.xid), signatures.xid_source()
        if form == "json":
            return shown.document((), codes, source)
        if form == "markdown":
            return "\n".join(shown.markdown_codes(codes, source))
        told = shown.code(codes[0], source, colours) if wanted else shown.codes(codes, source, colours)
        return "\n".join(map(colours.fit, told))
    if name != "signatures" and pattern is not None:
        raise UserError(f"`{pattern}` is one word too many", mend="a pattern follows `signatures` only")
    found = catalogue.chosen([(pattern or "*") if name == "signatures" else name])
    one = found[0] if name in catalogue.signatures else None
    codes = tuple(catalogue.xid.values()) if one is not None and one.tells_xid else ()
    if form == "json":
        return shown.document(found, codes, signatures.xid_source() if codes else "")
    if form == "markdown":
        more = ["", *shown.markdown_codes(codes, signatures.xid_source())] if codes else []
        return "\n".join([*shown.markdown(found), *more]).rstrip("\n")
    if one is None:
        return "\n".join(map(colours.fit, shown.listing(found, colours)))
    lines = [*shown.text(one, catalogue, colours)]
    if codes:
        lines += ["", *shown.codes(codes, signatures.xid_source(), colours)]
    return "\n".join(map(colours.fit, lines)).rstrip("\n")


def _codes(wanted: str, known: Mapping[int, Xid]) -> tuple[Xid, ...]:
    """Return the codes of the NVIDIA driver that are asked for; one that is in no table is the support's."""
    from runbook.engine.language.signatures import Xid

    if not wanted:
        return tuple(known.values())
    if not wanted.isdecimal() or len(wanted) > 4:
        raise UserError(f"`{wanted}` is no Xid code", mend="write its number, as in `runbook doc xid.79`")
    code = int(wanted)
    return (known.get(code) or Xid(code, "vendor", "a code that is in no table", note="Contact the vendor's support."),)

# ruff: noqa: INP001 -- a script, no package
"""Write docs/reference/ by `.venv/bin/python docs/reference.py`: every page of it comes from the code.

A test compares the pages with what this makes, so that they can't go stale.
"""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbook.engine.cli._commands import runbook
from runbook.engine.language import filters, manual, signatures, structure
from runbook.engine.language.lint import catalogue
from runbook.engine.report import manual as shown
from runbook.engine.report import signatures as shown_signatures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HERE = Path(__file__).parent / "reference"
_MADE = "<!-- made by docs/reference.py: change the code that it describes, then run it again -->"
_SETS = (
    ("The runbook", "The keys at the top of the file.", structure.RUNBOOK_KEYS),
    (
        "A detector",
        "Beside its probe. All but `name`, `when`, `hosts`, `every` may stand at the top of the runbook as defaults.",
        structure.DETECTOR_KEYS,
    ),
    ("An operation", "Beside its step.", structure.OPERATION_KEYS),
    (
        "A step",
        "Beside its module, wherever steps stand: `recover`, `cured`, `unhealed`, `finally`.",
        structure.STEP_KEYS,
    ),
    ("A block", "Steps that succeed or fail together, as one rung.", structure.BLOCK_KEYS),
)
_PARTS = ("retry", "verify", "secret", "pool", "component")


def pages() -> dict[str, str]:
    """Return every page of the reference by its file's name."""
    return {
        "keys.md": _page("Every key", _keys()),
        "probes.md": _page("Probes", _modules("probe")),
        "steps.md": _page("Steps", _modules("step")),
        "expressions.md": _page("Filters, tests and methods", _words()),
        "signatures.md": _page("Signatures", _signatures()),
        "xid.md": _page("Xid codes", _xids()),
        "lint.md": _page("Lint rules", _rules()),
        "commands.md": _page("Commands", _commands()),
    }


def _page(title: str, lines: Iterator[str]) -> str:
    return "\n".join([f"# {title}", "", _MADE, "", *lines]).rstrip() + "\n"


def _keys() -> Iterator[str]:
    yield ("The same keys are in the JSON Schema (`runbook schema`), with which an editor completes them.")
    for title, about, keys in _SETS:
        yield from ("", f"## {title}", "", about, "")
        yield from _table(keys)
    for name in _PARTS:
        part = structure.DEFINITIONS[name]
        yield from ("", f"## {name}", "", part["description"], "")
        yield from _table(part["properties"])


def _table(keys: Mapping[str, Any]) -> Iterator[str]:
    yield from ("| key | takes | default | |", "|---|---|---|---|")
    for name, given in sorted(keys.items()):
        default = f"`{_plain(given['default'])}`" if "default" in given else ""
        about = given.get("description", "")
        examples = given.get("examples", ())
        if examples:
            about += " Such as " + ", ".join(f"`{_plain(one)}`" for one in examples) + "."
        yield f"| `{name}` | {_takes(given)} | {default} | {_cell(about)} |"


def _takes(given: Mapping[str, Any]) -> str:
    if "enum" in given:
        return " ".join(f"`{one}`" for one in given["enum"])
    if "$ref" in given:
        name = given["$ref"].rpartition("/")[2]
        return str(structure.DEFINITIONS.get(name, {}).get("title", name)).replace("|", "\\|")
    if given.get("type") == "array":
        return f"list: {_takes(given['items'])}"
    if "anyOf" in given:
        kinds = [_takes(one) for one in given["anyOf"] if one.get("$ref") != "#/$defs/template"]
        return " or ".join(dict.fromkeys(kinds))
    if "const" in given:
        return f"`{_plain(given['const'])}`"
    words = {"string": "text", "boolean": "`true` `false`", "integer": "whole number", "object": "mapping"}
    return words.get(given.get("type", ""), given.get("type", "any value"))


def _plain(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _modules(noun: manual.Noun) -> Iterator[str]:
    found = [manual.page(noun, name) for name, nouns in manual.names().items() if noun in nouns]
    yield f"`runbook doc NAME` shows the same on a terminal. There are {len(found)} {noun}s in this version."
    yield ""
    for one in found:
        impact = f" *({one.impact})*" if noun == "step" else ""
        yield f"- [`{one.name}`](#{one.name}){impact}: {one.summary}"
    yield ""
    text = "\n".join(shown.markdown(found))
    text = re.sub(rf"^## (\w+) \({noun}\)$", r"## \1", text, flags=re.MULTILINE)
    yield text.replace("```yaml", f"<!-- {'detectors' if noun == 'probe' else 'steps'} -->\n```yaml")


def _words() -> Iterator[str]:
    yield "What [expressions and templates](../expressions.md) may use, beside the operators. There is nothing else."
    for title, sample, names in (
        ("Filters", "`{{ model | slug }}`", [*filters.FILTERS, filters.DEFAULT]),
        ("Tests", "`value is none`", [*filters.TESTS, *filters.COMPARING, *filters.DEFINED, *filters.PATTERNS]),
        ("Methods of text", "`line.startswith('E')`", [*filters.METHODS]),
    ):
        yield from ("", f"## {title}", "", f"{sample}: " + ", ".join(f"`{name}`" for name in sorted(names)) + ".")


def _signatures() -> Iterator[str]:
    found = list(signatures.bundled(samples=True).values())
    yield (
        f"{len(found)} failures that logs tell of, in order of precedence: the first that matches names the line. "
        "[Signatures](../signatures.md) tells how to use them, and how to write your own; `runbook doc ID` shows one "
        "of these sections, with all its samples and its patterns."
    )
    yield from ("", "| signature | severity | role | |", "|---|---|---|---|")
    for one in found:
        yield f"| [`{one.id}`](#{one.id.replace('.', '')}) | {one.severity.value} | {one.role} | {_cell(one.title)} |"
    yield from ("", *shown_signatures.markdown(found))


def _xids() -> Iterator[str]:
    yield from shown_signatures.markdown_codes(list(signatures.xids().values()), signatures.xid_source())


def _rules() -> Iterator[str]:
    rules = catalogue.everything()
    yield f"`runbook lint` knows {len(rules)} rules; `runbook lint --explain RB029` shows one of these sections."
    yield from ("", "| code | name | level | |", "|---|---|---|---|")
    for rule in rules:
        yield f"| [{rule.code}](#{_anchor(rule)}) | {rule.name} | {rule.level} | {rule.summary} |"
    for rule in rules:
        yield from ("", f"## {rule.code} {rule.name}", "", f"*{rule.level}* · {rule.summary}", "")
        body = rule.doc.partition("\n")[2].strip()
        yield re.sub(r"^## ", "### ", body, flags=re.MULTILINE)


def _anchor(rule: catalogue.Documented) -> str:
    return f"{rule.code.lower()}-{rule.name}"


def _commands() -> Iterator[str]:
    yield "Each page is what `--help` prints. Exit codes: [How it decides](../decisions.md#exit-codes)."
    context = click.Context(
        runbook, info_name="runbook", terminal_width=100, max_content_width=100, **runbook.context_settings
    )
    for name in runbook.list_commands(context):
        command = runbook.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context, terminal_width=100, max_content_width=100)
        yield from ("", f"## runbook {name}", "", "```text", command.get_help(inner), "```")


def write() -> None:
    """Write the pages."""
    HERE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (HERE / name).write_text(text, encoding="utf-8")


def differences() -> str:
    """Return in what the pages differ from the code, as a diff; empty when they are fresh."""
    found: list[str] = []
    for name, text in pages().items():
        page = HERE / name
        there = page.read_text(encoding="utf-8") if page.exists() else ""
        found += difflib.unified_diff(there.splitlines(), text.splitlines(), name, "the code", lineterm="", n=0)
    return "\n".join(found)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(differences() or None)
    write()

"""All findings about a file of signatures: its structure, its patterns, and whether its samples are what they say."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from runbook.engine.language import signature_files as files
from runbook.engine.language import signature_structure, signatures
from runbook.engine.language.lint import catalogue, noqa, pattern
from runbook.engine.language.lint.context import Remark
from runbook.engine.language.lint.regexes import Pattern
from runbook.engine.language.nearest import nearest
from runbook.engine.language.validate import validate
from runbook.engine.language.values import Reader
from runbook.engine.model import Finding
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runbook.engine.language.lint.context import Context
    from runbook.engine.language.signatures import Signature
    from runbook.engine.language.source import Source
    from runbook.engine.model import Path

PATTERNS = ("RB025", "RB026", "RB027", "RB028")  # the rules that judge regular expressions wherever they stand
OWN = ("RB054", "RB055", "RB056")  # those that have something to say of signatures alone
_FILLED = frozenset({"time", "gpu", "job", "action"})  # fields of a record that a group may fill


@frozen
class Entry:
    """A signature as the file has it, which may be no more than what it changes in a known one."""

    name: str
    path: Path
    given: Mapping[str, Any]
    known: Signature | None

    def texts(self, key: str) -> Iterator[tuple[str, Path]]:
        """Yield the texts of a key that takes one or several, each with its place."""
        value = self.given.get(key)
        if isinstance(value, str):
            yield value, (*self.path, key)
        for number, item in enumerate(value if isinstance(value, list) else ()):
            if isinstance(item, str):
                yield item, (*self.path, key, number)


class SignatureContext:
    """One file of signatures for the rules that know of them."""

    def __init__(self, source: Source, known: Mapping[str, Signature]) -> None:
        self.source = source
        self.known = known

    def remark(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> Remark:
        """Say something about the value at a path, or its key."""
        return Remark(self.source.head(path, key=key), message, hint)

    @cached_property
    def entries(self) -> list[Entry]:
        """What can be read of its signatures."""
        data = self.source.data
        listed = data.get("signatures") if isinstance(data, dict) else None
        return [
            Entry(item["id"], ("signatures", number), item, self.known.get(item["id"]))
            for number, item in enumerate(listed if isinstance(listed, list) else ())
            if isinstance(item, dict) and isinstance(item.get("id"), str) and item.get("off") is not True
        ]

    @cached_property
    def patterns(self) -> list[Pattern]:
        """Every regular expression of the file."""
        return [Pattern(text, path) for entry in self.entries for text, path in entry.texts("pattern")]

    @cached_property
    def ids(self) -> frozenset[str]:
        """Every id that is known with this file."""
        return frozenset({*self.known, *(entry.name for entry in self.entries)})

    def unknown(self, glob: str) -> tuple[str, str]:
        """Return what is wrong with a name that names nothing, and how to mend it."""
        return signatures.unknown(glob, self.ids)

    def names(self, glob: str) -> bool:
        """Whether an id, or a pattern of ids, names something."""
        return glob in self.ids or any(fnmatchcase(name, glob) for name in self.ids)


def check(source: Source, known: Mapping[str, Signature]) -> list[Finding]:
    """Return every finding about a file, in its order.

    Args:
        source: the file.
        known: the signatures that it stands over.
    """
    reader = Reader(source)
    if source.data is not None:
        reader.structure(validate(source.data, signature_structure.document()))
    context = SignatureContext(source, known)
    _semantics(reader, context)
    found = list(reader.findings)
    for rule in map(catalogue.rule, (*PATTERNS, *OWN)):  # a catalogue is read often: no other rule is imported
        ask = getattr(rule, "check_signatures", rule.check)
        remarks = ask(cast("Context", context))
        found += [
            Finding(rule.CODE, rule.NAME, rule.LEVEL, said.message, said.span, said.hint, said.fixes)
            for said in remarks
        ]
    unique = list({(each.code, each.message, each.span): each for each in found}.values())
    kept = noqa.apply(source, unique)
    return sorted(kept, key=lambda finding: (finding.span.line, finding.span.column, finding.code))


def checked(source: Source) -> list[Finding]:
    """Return every finding about a file that somebody lints, which may be one of the catalogue's own."""
    import pathlib

    files.untrapped(source)
    here = pathlib.Path(source.file).resolve()
    bundled = signatures.bundled_without(here)
    return check(source, bundled)


def _semantics(reader: Reader, context: SignatureContext) -> None:
    first: dict[str, Entry] = {}
    data = context.source.data
    if isinstance(data, dict) and not files.KEYS & set(data):
        reader.add("RB006", "there are no `signatures:` and no `xid:`", (), "write one of them")
    for number, item in enumerate(_listed(data)):
        if isinstance(item, dict) and item.get("off") is True and item.get("id") not in context.known:
            message, hint = _unknown(item.get("id"), context)
            reader.add("RB012", message, ("signatures", number, "id"), hint)
    for entry in context.entries:
        if entry.name in first:
            line = reader.source.span(first[entry.name].path).line
            message = f"a second signature has the id `{entry.name}`, the first stands in line {line}"
            reader.add("RB015", message, (*entry.path, "id"), "merge the two, or give each an id of its own")
        first.setdefault(entry.name, entry)
        missing = [key for key in signatures.REQUIRED if key not in entry.given] if entry.known is None else []
        if missing:
            near = nearest(entry.name, context.known)
            hint = f"did you mean {near}, to override it?" if near else f"write {', '.join(missing)} as well"
            message = f"`{entry.name}` is new, and has no {', '.join(missing)}"
            reader.add("RB006", message, (*entry.path, "id"), hint)
        _groups(reader, entry)
    codes = data.get("xid") if isinstance(data, dict) else None
    for code in codes if isinstance(codes, dict) else ():
        if not files.is_code(code):
            reader.add("RB011", f"`{code}` is no Xid code", ("xid", code), "write its number, such as 79", key=True)


def _groups(reader: Reader, entry: Entry) -> None:
    """Refuse groups that would hide a field of a log's record."""
    from runbook.engine.language import params
    from runbook.modules import catalogue as modules

    fields = params.record_fields(modules.probe("log"))
    for text, path in entry.texts("pattern"):
        if pattern.problem(text) is None:
            for group in re.compile(text).groupindex:
                if group in fields and group not in _FILLED:
                    message = f"the group `{group}` would hide the field `{group}`"
                    reader.add("RB011", message, path, "give it another name")


def _unknown(name: object, context: SignatureContext) -> tuple[str, str]:
    near = nearest(str(name), context.known)
    return f"there is no signature `{name}` to take out", f"did you mean {near}?" if near else ""


def _listed(data: Any) -> list[Any]:
    listed = data.get("signatures") if isinstance(data, dict) else None
    return listed if isinstance(listed, list) else []

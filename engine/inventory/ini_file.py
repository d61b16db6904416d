"""An INI inventory, as Ansible reads INI: `[group]`, `[group:vars]`, `[group:children]`, vars behind the hosts."""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import UserError
from runbook.engine.inventory import addresses
from runbook.engine.inventory.draft import UNGROUPED
from runbook.engine.inventory.texts import Opened, Unsafe
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbook.engine.inventory.draft import Draft

_WORD_OF_GROUP = r"([^\s:\]]+)"
_END = r"\s*(?:#.*)?\Z"
_SECTION = re.compile(rf"\[{_WORD_OF_GROUP}(?::(\w+))?\]{_END}")
_NAME = re.compile(_WORD_OF_GROUP + _END)
_QUOTING = re.compile(r"""['"\\#]""")
_BLANK = re.compile(r"[ \t\r\n]+")
_COMMENTS: Final = ("#", ";")
_STATES: Final = ("hosts", "children", "vars")
_LONGEST_LINE: Final = 1 << 18
_LONGEST_LITERAL: Final = 100_000
_DECIMAL = re.compile(r"[1-9][0-9]{0,17}\Z|0\Z")
_WORD = re.compile(r"[A-Za-z_][\w./@:-]*\Z")  # no literal, unless it is one of the three words
_WORDS: Final = {"True": True, "False": False, "None": None}


@frozen
class _Awaited:
    """A group that was mentioned before it was declared."""

    line: int
    state: str
    parents: tuple[str, ...] = ()


def fill(draft: Draft, text: str, file: str, *, opened: bool = False) -> None:
    """Add what an INI inventory says.

    Args:
        draft: takes it.
        text: the file's.
        file: what messages call it.
        opened: it came out of a vault, so its texts are secrets.

    Raises:
        UserError: a line is none of an inventory; says which.
    """
    reader = _Reader(draft, file, (lambda word: secret(literal(word))) if opened else literal)
    for number, line in enumerate(text.splitlines(), 1):
        reader.number = number
        try:
            reader.line(line.strip())
        except UserError as error:
            raise UserError(error.what, where=error.where or f"{file}:{number}", mend=error.mend) from None
    reader.end()


class _Reader:
    def __init__(self, draft: Draft, file: str, value: Callable[[str], Any]) -> None:
        self.draft = draft
        self.value = value
        self.file = file
        self.number = 0
        self.group = UNGROUPED
        self.state = "hosts"
        self.awaited: dict[str, _Awaited] = {}

    def line(self, line: str) -> None:
        if not line or line.startswith(_COMMENTS):
            return
        if len(line) > _LONGEST_LINE:
            raise UserError(f"this line has more than {_LONGEST_LINE} characters", mend="write one host a line")
        if found := _SECTION.match(line):
            self.section(found[1], found[2] or "hosts", line)
        elif line.startswith("[") and line.endswith("]"):
            raise UserError(f"`{line[:80]}` is no section", mend="write [group], [group:vars] or [group:children]")
        elif self.state == "hosts":
            self.hosts(line)
        elif self.state == "vars":
            name, equals, value = line.partition("=")
            if not equals:
                raise UserError(f"`{line[:80]}` sets no var", mend="write NAME=VALUE, one a line")
            where = f"{self.file}:{self.number}"
            self.draft.set_group(self.group, name.strip(), self.value(value.strip()), where)
        else:
            self.child(line)

    def section(self, name: str, state: str, line: str) -> None:
        if state not in _STATES:
            raise UserError(
                f"`{line[:80]}` has an unknown kind: {state}", mend="there are [group:vars] and [group:children]"
            )
        self.group, self.state = name, state
        if name not in self.draft.groups:
            if state == "vars" and name not in self.awaited:
                self.awaited[name] = _Awaited(self.number, state)
            self.draft.add_group(name)
        awaited = self.awaited.get(name)
        if awaited is not None and state != "vars":
            if awaited.state == "children":
                self.adopt(name)
            else:
                del self.awaited[name]

    def adopt(self, name: str) -> None:
        """Put a group that is there at last below those that named it."""
        for parent in self.awaited[name].parents:
            self.draft.add_child(parent, name)
            if parent in self.awaited and self.awaited[parent].state == "children":
                self.adopt(parent)
        del self.awaited[name]

    def child(self, line: str) -> None:
        found = _NAME.match(line)
        if not found:
            raise UserError(f"`{line[:80]}` is no group's name", mend="write one name a line, without vars")
        name = found[1]
        if name in self.draft.groups:
            self.draft.add_child(self.group, name)
            return
        known = self.awaited.get(name)
        parents = (*known.parents, self.group) if known else (self.group,)
        self.awaited[name] = _Awaited(known.line, known.state, parents) if known else (
            _Awaited(self.number, "children", parents))  # fmt: skip

    def hosts(self, line: str) -> None:
        try:
            words = _BLANK.split(line) if not _QUOTING.search(line) else shlex.split(line, comments=True)
        except ValueError as error:
            raise UserError(f"`{line[:80]}`: {str(error).lower()}", mend="close the quote") from None
        if not words:
            return
        pattern = words[0]
        try:
            names, port = addresses.expand(pattern)
        except addresses.Unfit as error:
            raise UserError(str(error), mend="ranges are [1:9], [01:64:2] or [a:f]") from None
        if pattern.endswith(":") and port is None:
            raise UserError(f"`{pattern[:80]}` ends in a colon, behind which stands a port",
                            mend="delete the colon; or give a YAML file the ending .yaml")  # fmt: skip
        if "---" in names:
            raise UserError("`---` begins a YAML file", mend="give it the ending .yaml")
        given = {}
        for word in words[1:]:
            name, equals, value = word.partition("=")
            if not equals:
                raise UserError(f"`{word[:80]}` sets no var", mend="write NAME=VALUE, with quotes around spaces")
            given[name] = self.value(value)
        where = f"{self.file}:{self.number}"
        if not names:
            self.draft.warnings.append(f"{where}: `{pattern[:80]}` stands for no host: its range ends before it begins")
        for name in names:
            self.draft.add_host(name, self.group, port)
            if given:
                self.draft.set_host(name, given, where, {})

    def end(self) -> None:
        for name, awaited in self.awaited.items():
            where = f"{self.file}:{awaited.line}"
            if awaited.state == "vars":
                raise UserError(f"[{name}:vars] is for a group that is not there", where=where,
                                mend=f"declare [{name}], even if it is empty")  # fmt: skip
            raise UserError(f"[{awaited.parents[-1]}:children] names the group `{name}`, which is not there",
                            where=where, mend=f"declare [{name}], even if it is empty")  # fmt: skip


def literal(text: str) -> Any:
    """Return what a value of an INI file is: a Python literal where it is one, its text where not.

    Example:
        >>> literal("22"), literal("[1, 2]"), literal("no"), literal("0755")
        (22, [1, 2], 'no', '0755')
    """
    if _DECIMAL.match(text):
        return int(text)
    if text in _WORDS:
        return _WORDS[text]
    if _WORD.match(text) or len(text) > _LONGEST_LITERAL:
        return text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return _plain(value)


def secret(value: Any) -> Any:
    """Return a value whose texts are secrets."""
    if isinstance(value, str):
        return Opened(value)
    if isinstance(value, dict):
        return {key: secret(each) for key, each in value.items()}
    return [secret(each) for each in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, bytes):
        return Unsafe(value.decode("utf-8", "surrogateescape"))
    if value is ...:
        return "..."
    return str(value) if isinstance(value, complex) else value

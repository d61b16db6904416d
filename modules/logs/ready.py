"""Python's own expressions, compiled once and kept for the next process: those of a catalogue take half a second.

What is kept is what `re` makes of an expression, so it is of one version of Python; any other makes its own.
"""

import importlib
import marshal
import re
import sys
from array import array
from contextlib import suppress
from typing import Any, Dict, Optional, Sequence, Tuple, Union
from typing import Pattern as Regex

from runbook.modules.logs import groups
from runbook.modules.logs.engines import store
from runbook.modules.logs.engines.plan import KEPT_FROM, of
from runbook.modules.logs.patterns import Pattern

FEWEST = 8  # new ones that are worth the writing
SHARE = 16  # the same of those that are kept already: one in so many

_WORDS = "I"  # four bytes each, as CPython's are
_Kept = Tuple[int, bytes, int, Dict[str, int], Dict[str, bool]]
"""Flags, code, number of groups, their names, and which of them are numbers: whole ones or not."""


def _parts() -> "Optional[Tuple[Any, Any, Any]]":
    """Return the parts of `re` that an expression goes through; None where this Python has others."""
    names = ("re._parser", "re._compiler") if sys.version_info >= (3, 11) else ("sre_parse", "sre_compile")
    with suppress(ImportError, AttributeError):
        parser, compiler, engine = map(importlib.import_module, (*names, "_sre"))
        known = hasattr(compiler, "_code") and array(_WORDS).itemsize == engine.CODESIZE
        return (parser, compiler, engine) if known and sys.implementation.name == "cpython" else None
    return None


class Ready:
    """Compiles expressions, or takes them from where they are kept.

    Args:
        patterns: what they belong to; of a few of them nothing is kept.
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = patterns
        self._parts = _parts() if len(patterns) >= KEPT_FROM else None
        self._known: Optional[Dict[Union[str, bytes], _Kept]] = None  # until the first one is asked for
        self._new: Dict[Union[str, bytes], _Kept] = {}

    @property
    def _key(self) -> str:
        return f"ready {sys.hexversion} {self._parts[2].MAGIC if self._parts else 0} {of(self._patterns)}"

    def pattern(self, regex: str) -> "Regex[str]":
        """Return the expression of a pattern."""
        return re.compile(regex) if self._parts is None else self._compiled(regex, 0)

    def test(self, regex: bytes) -> "Regex[bytes]":
        """Return one for lines of bytes."""
        flags = re.MULTILINE
        return re.compile(regex, flags) if self._parts is None else self._compiled(regex, int(flags))

    def _compiled(self, text: Union[str, bytes], flags: int) -> Any:
        assert self._parts is not None
        parser, compiler, engine = self._parts
        if self._known is None:
            self._known = self._read()
        kept = self._known.get(text)
        if kept is None:
            parsed = parser.parse(text, flags)
            code = compiler._code(parsed, flags)  # noqa: SLF001 -- `compile` does the same, and does not give it
            names = dict(parsed.state.groupdict)
            kept = (flags | parsed.state.flags, array(_WORDS, code).tobytes(), parsed.state.groups - 1, names, {})
            self._new[text] = kept
        elif isinstance(text, str) and kept[3]:
            groups.remember(text, {name: int if whole else float for name, whole in kept[4].items()})
        return _made(engine, text, kept)

    def _read(self) -> Dict[Union[str, bytes], _Kept]:
        found = store.read(self._key)
        with suppress(ValueError, TypeError, EOFError):
            known = marshal.loads(found) if found else {}  # noqa: S302 -- the store's, which is trusted as code is
            return known if isinstance(known, dict) else {}
        return {}

    def keep(self) -> None:
        """Keep what was compiled, if that is worth it."""
        known = self._known or {}
        if len(self._new) < max(FEWEST, len(known) // SHARE):
            return
        for text, (flags, code, count, names, _) in self._new.items():
            numbers = groups.numeric_groups(text) if isinstance(text, str) and names else {}
            whole = {name: kind is int for name, kind in numbers.items()}
            known[text] = (flags, code, count, names, whole)
        self._known, self._new = known, {}
        store.write(self._key, marshal.dumps(known))


def _made(engine: Any, text: Union[str, bytes], kept: _Kept) -> Any:
    flags, words, count, names, _ = kept
    code = array(_WORDS)
    code.frombytes(words)
    by_number = [None, *(None for _ in range(count))]
    for name, number in names.items():
        by_number[number] = name  # type: ignore[call-overload]
    return engine.compile(text, flags, code.tolist(), count, names, tuple(by_number))

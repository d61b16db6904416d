"""A command's words: split before anything is rendered, so that no value becomes two, or code, or an option."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import RenderError
from runbook.engine.language import grammar
from runbook.engine.language.closures import closure
from runbook.engine.language.expression import Expression, names_of, parse
from runbook.engine.language.kinds import is_template
from runbook.engine.language.scope import Scope, value
from runbook.engine.language.taint import Refused, host_text, mentioned
from runbook.engine.language.text import text

HOST_TEXT: Final = "\ufffd"  # stands for a word that a host wrote, where words are judged by their places
if TYPE_CHECKING:
    from runbook.engine.language.peril import Reading

BY_ENV: Final = 'give it by `env: {NAME: …}` and write "$NAME" in the script'
_PLACE = "\ue000{}\ue001"  # private-use characters: no shell syntax, and in no command that anybody writes
_PLACES = re.compile("\ue000(\\d+)\ue001")


@lru_cache(maxsize=4096)
def split(written: str) -> tuple[str | Expression, ...]:
    """Split a command line into words as a shell does, without a shell; each word with `{{ }}` is a template.

    Raises:
        ValueError: a quote is not closed, or a template is none.
    """
    if not written.isprintable() and _PLACES.search(written):
        raise ValueError("a command can't hold characters of the private use area")
    kept: list[str] = []
    masked = ""
    at = 0
    for start, end in _templates(written):
        masked += written[at:start] + _PLACE.format(len(kept))
        kept.append(written[start:end])
        at = end
    masked += written[at:]
    try:
        words = shlex.split(masked)
    except ValueError as error:
        raise ValueError(f"the command can't be split into words: {str(error).lower()}") from error
    return tuple(_restored(word, kept) for word in words)


def _templates(written: str) -> list[tuple[int, int]]:
    found = []
    for part in grammar.template(written):
        if isinstance(part, grammar.Parsed):
            start = written.rfind("{{", 0, grammar.offset(part.node))
            found.append((start, part.end))
    return found


def _restored(word: str, kept: list[str]) -> str | Expression:
    if not _PLACES.search(word):
        return word
    return parse(_PLACES.sub(lambda place: kept[int(place[1])], word), template=True)


def argv(raw: Any, scope: Scope) -> list[str]:
    """Return a command's words with their templates evaluated, each still one word.

    Raises:
        Refused: host text would name the program, be an option of it, or code for it.
        RenderError: a word has no text.
    """
    words: Sequence[Any]
    if isinstance(raw, str) or is_template(raw):
        try:
            words = split(raw if isinstance(raw, str) else raw.text)
        except ValueError as error:
            raise RenderError(str(error)) from error
        if len(words) == 1 and not host_text(mentioned(words[0]), scope):
            whole = value(words[0], scope)  # a var may hold a list of words
            words = whole if isinstance(whole, (list, tuple)) else words
    elif isinstance(raw, (list, tuple)):
        words = raw
    else:
        raise RenderError("a command is a text or a list of words")
    made: list[str] = []
    judged: list[str] = []  # the same, but host text is judged by its place alone
    for word in words:
        made.append(_word(word, judged, scope))
        judged.append(HOST_TEXT if _is_host_text(word, scope) else made[-1])
    return made


def reading(word: Expression, before: Sequence[str], scope: Scope) -> tuple[Reading, str]:
    """Tell how a word with host text would be read, and what the runbook itself wrote at its beginning.

    Args:
        word: its template.
        before: the words before it; HOST_TEXT stands for those that hosts wrote.
        scope: what its templates may name.
    """
    from runbook.engine.language import peril  # much is known of programs, and most runbooks need none of it

    prefix = _prefix(word, scope)
    return peril.read(before, prefix), prefix


def _is_host_text(word: Any, scope: Scope) -> bool:
    return isinstance(word, Expression) and host_text(word.names, scope)


def _word(word: Any, before: list[str], scope: Scope) -> str:
    shown = word.text if is_template(word) else word
    found = value(word, scope)
    if isinstance(found, (list, tuple, Mapping)):
        raise RenderError(f"'{shown}' is a list, but a word of a command is one value", mend="write {{ x | first }}")
    try:
        made = text(found)
    except RenderError as error:
        raise RenderError(f"'{shown}' {error.what}", mend=error.mend) from error
    if _is_host_text(word, scope):
        _harmless_word(word, made, before, scope)
    return made


def _harmless_word(word: Expression, made: str, before: list[str], scope: Scope) -> None:
    shown = f"host text ('{word.text}')"
    found, prefix = reading(word, before, scope)
    if found.peril:
        mend = "write the program's name into the runbook" if not before else f"use `shell`: {BY_ENV}"
        raise Refused(f"{shown} {found.peril}", mend=mend)
    if made.startswith("-") and not prefix.strip("-") and not found.ended(before):
        raise Refused(f"{shown} is '{made[:40]}', which would be an option", mend="put the word -- before it")
    if "\0" in made:
        raise Refused(f"{shown} holds a NUL character, which no command takes")


def _prefix(word: Expression, scope: Scope) -> str:
    """Return what of a word stands before its first host text: `--file=` of `--file={{ incident.path }}`."""
    made = ""
    for part in word.parts:
        if isinstance(part, str):
            made += part
            continue
        if host_text(names_of(part), scope):
            break
        made += text(closure(part)(scope))
    return made

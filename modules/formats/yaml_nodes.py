"""YAML as nodes that know where they stand, and the data that they mean to programs of YAML 1.1 and 1.2 alike.

ruamel.yaml parses; what words mean is decided here: `on` is true, as PyYAML has it, `1e-5` a number, as the author
meant it, and what the versions read as different numbers (`010`, `1:30`) is text, so that nobody calculates with it.
"""

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Set

from runbook.modules.formats.json_text import Uneditable
from runbook.modules.frozen import frozen

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,400})|0x[0-9a-fA-F]{1,100}")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.[0-9]*|\.[0-9]+|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]{1,5})?")
_WORDS: Mapping[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **{word: True for name in ("true", "yes", "on") for word in (name, name.title(), name.upper())},
    **{word: False for name in ("false", "no", "off") for word in (name, name.title(), name.upper())},
    **{sign + word: float(sign + "inf") for sign in ("", "-", "+") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_TAG = re.compile(r"(?:&[^\s,\[\]{}]+\s+)?(![^\s,\[\]{}]*)")


@frozen
class Alias:
    """An alias where it stands, such as `*base`; ruamel.yaml gives what it stands for, at that one's place."""

    start_mark: Any
    end_mark: Any
    to: Any
    id: str = "alias"
    flow_style: bool = True


class Tagged(NamedTuple):
    """A value with a tag of an application's own: it can be kept or replaced, not looked into."""

    tag: str
    value: Any


def compose(text: str) -> Any:
    """Return the root node, or None for a text without a document.

    Raises:
        Uneditable: it is no YAML, holds several documents, or ruamel.yaml is missing.
    """
    try:
        from ruamel import yaml
    except ImportError:
        raise Uneditable("missing: ruamel.yaml, on this host: python3 -m pip install ruamel.yaml") from None

    class Composer(yaml.composer.Composer):
        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.parser.peek_event()
            node = super().compose_node(parent, index)
            alias = isinstance(event, yaml.events.AliasEvent)
            return Alias(event.start_mark, event.end_mark, node) if alias else node

    parser = yaml.YAML(typ="safe", pure=True)
    parser.Composer = Composer
    parser.composer.warn_double_anchors = False  # a name may be given anew
    try:
        return parser.compose(text)
    except yaml.error.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1} column {mark.column + 1}: " if mark else ""
        raise Uneditable(f"no YAML: {where}{error.problem or error.context}") from error
    except (yaml.error.YAMLError, ValueError, AttributeError, AssertionError, IndexError, TypeError) as error:
        raise Uneditable(f"no YAML that can be read: {str(error).partition(chr(10))[0]}") from error


def meaning(node: Any, text: str) -> Any:
    """Return the data that a node means.

    Raises:
        Uneditable: a key stands twice, or an alias leads into itself.
    """
    return _Reader(text).value(node)


def word(plain: str) -> Any:
    """Return what a word without quotes means."""
    if plain in _WORDS:
        return _WORDS[plain]
    if _INT.fullmatch(plain):
        return int(plain.replace("_", ""), 16 if "x" in plain else 10)
    if _FLOAT.fullmatch(plain):
        return float(plain.replace("_", ""))
    return plain


class _Reader:
    """Makes data of nodes; what aliases share is made once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._made: Dict[int, Any] = {}
        self._open: Set[int] = set()

    def value(self, node: Any) -> Any:
        node = meant(node)
        if id(node) in self._open:
            raise Uneditable("an alias leads into itself")
        if id(node) not in self._made:
            self._open.add(id(node))
            self._made[id(node)] = self._make(node)
            self._open.discard(id(node))
        return self._made[id(node)]

    def _make(self, node: Any) -> Any:
        if node.id == "sequence":
            return [self.value(item) for item in node.value]
        if node.id == "mapping":
            return self._mapping(node)
        found = _TAG.match(self._text, node.start_mark.index, node.end_mark.index)
        tag = found[1] if found else ""
        if tag in {"!", "!!str"}:
            return node.value
        if tag and not tag.startswith("!!"):
            return Tagged(tag, node.value)
        return word(node.value) if tag or node.style is None else node.value

    def _mapping(self, node: Any) -> Dict[Any, Any]:
        own: Dict[Any, Any] = {}
        merged: List[Any] = []
        for key, item in node.value:
            if key.id == "scalar" and key.value == "<<" and key.style is None:
                merged += meant(item).value if meant(item).id == "sequence" else [item]
                continue
            name = key_of(key)
            if name in own:
                raise Uneditable(f"line {key.start_mark.line + 1}: `{name}` stands twice")
            own[name] = self.value(item)
        for source in merged:
            if meant(source).id != "mapping":
                raise Uneditable(f"line {source.start_mark.line + 1}: only mappings can be merged by `<<`")
            for name, value in self.value(source).items():
                own.setdefault(name, value)
        return own


def meant(node: Any) -> Any:
    """Return what an alias stands for; any other node is what it is."""
    return node.to if isinstance(node, Alias) else node


def key_of(node: Any) -> Any:
    """Return a key as programs see it: a text, a number or another word."""
    node = meant(node)
    if node.id != "scalar":
        return f"a {node.id} in line {node.start_mark.line + 1}"
    return word(node.value) if node.style is None else node.value

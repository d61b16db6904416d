"""Which rules there are: the files of `rules/`, each named after its code.

`rules/rb031_destructive_auto.py` is rule RB031; nothing else registers it. What a rule is about stands in its
docstring, which is read from the source when somebody asks, so that checking a runbook never pays for it.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.language.lint.context import Context, Remark

_FOLDER = "runbook.engine.language.lint.rules"
_FILE = re.compile(r"(rb[0-9]{3})_[a-z0-9_]+")
LAST_OF_LOADER = "RB015"  # up to here, findings come from reading the file
_DOCUMENTED_ONLY = "RB016"  # and this one is known when all others are
_OWN = frozenset({"RB063", "RB064"})  # so do those about users' modules
INVENTORIES = frozenset({"RB066", "RB067", "RB068"})  # and those about inventories
HEADINGS = ("What it does", "Why is this bad", "Example", "Use instead", "Fix")


class Rule(Protocol):
    """What a rule's file defines."""

    CODE: str
    NAME: str
    LEVEL: Literal["error", "warning"]

    def check(self, context: Context) -> Iterator[Remark]:
        """Say what is wrong in a runbook."""


@frozen
class Documented:
    """A rule as people read about it."""

    code: str
    name: str
    level: Literal["error", "warning"]
    doc: str  # the docstring

    @property
    def summary(self) -> str:
        """The docstring's first line."""
        return self.doc.partition("\n")[0]

    def section(self, heading: str) -> str:
        """Return the text below one of the fixed headings."""
        found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", self.doc, re.DOTALL | re.MULTILINE)
        return found[1].strip("\n") if found else ""

    def example(self, heading: str) -> str:
        """Return the YAML below a heading; a ⇥ stands for a tab, which nobody would see."""
        found = re.search(r"```yaml\n(.*?)```", self.section(heading), re.DOTALL)
        return found[1].replace("⇥", "\t") if found else ""


@cache
def codes() -> dict[str, str]:
    """Return the file of each code, in order."""
    folder = str(Path(__file__).parent / "rules")
    names = sorted(found.name for found in pkgutil.iter_modules([folder]))
    return {found[1].upper(): name for name in names if (found := _FILE.fullmatch(name))}


@cache
def rules() -> tuple[Rule, ...]:
    """Return every rule that checks a loaded runbook; what the loader finds by itself has only its documentation."""
    return tuple(rule(code) for code, file in codes().items() if not _by_loader(file))


def rule(code: str) -> Rule:
    """Return one rule.

    Raises:
        KeyError: there is no rule of that code.
    """
    return cast("Rule", importlib.import_module(f"{_FOLDER}.{codes()[code]}"))


@cache
def documented(code: str) -> Documented:
    """Return what a rule says of itself.

    Raises:
        KeyError: there is no rule of that code.
    """
    path = Path(__file__).parent / "rules" / f"{codes()[code]}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    given = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    level: Literal["error", "warning"] = "error" if given["LEVEL"] == "error" else "warning"
    return Documented(str(given["CODE"]), str(given["NAME"]), level, ast.get_docstring(tree) or "")


def everything() -> list[Documented]:
    """Return what all rules say of themselves, in order of their codes."""
    return [documented(code) for code in codes()]


def _by_loader(file: str) -> bool:
    code = file[:5].upper()
    return code <= _DOCUMENTED_ONLY or code in _OWN or code in INVENTORIES

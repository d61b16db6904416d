"""`runbook lint --explain CODE`: what a rule is about, from its own docstring."""

from __future__ import annotations

import re

from runbook.engine.errors import UserError
from runbook.engine.language.lint import catalogue
from runbook.engine.language.nearest import nearest

_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[36m", "\x1b[0m"


def explain(wanted: str, *, colour: bool = False) -> str:
    """Return a rule's documentation; `all` lists every rule. A rule's name does as well as its code.

    Raises:
        UserError: there is no such rule.
    """
    if wanted.lower() == "all":
        return listing()
    codes = catalogue.codes()
    code = wanted.upper()
    if code not in codes:
        names = {file[6:].replace("_", "-"): code for code, file in codes.items()}
        found = names.get(wanted.lower())
        if found is None:
            near = nearest(wanted, [*codes, *names]) if not _is_code(wanted) else _next_to(code, codes)
            mend = f"did you mean {near}? " if near else ""
            raise UserError(f"there is no rule `{wanted[:40]}`", mend=f"{mend}`runbook lint --explain all` lists them")
        code = found
    return _page(catalogue.documented(code), colour=colour)


def listing() -> str:
    """Return one line for every rule."""
    rules = catalogue.everything()
    width = max(len(rule.name) for rule in rules)
    lines = [f"{rule.code}  {rule.name:<{width}}  {rule.level:<7}  {rule.summary}" for rule in rules]
    return "\n".join(lines)


def _page(rule: catalogue.Documented, *, colour: bool) -> str:
    bold, dim, plain = (_BOLD, _DIM, _PLAIN) if colour else ("", "", "")
    lines = [f"{bold}{rule.code} {rule.name}{plain} ({rule.level})", "", rule.summary]
    code = False
    for line in rule.doc.splitlines()[1:]:
        if line.startswith("```"):
            code = not code
        elif code:
            lines.append(f"    {dim}{line}{plain}" if line else "")
        elif line.startswith("## "):
            lines.append(f"{bold}{line[3:]}{plain}")
        else:
            lines.append(f"  {line}" if line else "")
    return "\n".join(lines).rstrip()


def _is_code(wanted: str) -> bool:
    return re.fullmatch(r"[A-Za-z]{0,3}[0-9]{1,6}", wanted) is not None


def _next_to(wanted: str, codes: dict[str, str]) -> str:
    number = int(re.sub(r"\D", "", wanted))
    near = min(codes, key=lambda code: abs(int(code[2:]) - number))
    return near if abs(int(near[2:]) - number) < 10 else ""

"""Names of the language that later versions bring, so that they are told apart from slips of the pen."""

from __future__ import annotations

from typing import Final

MODULES: Final[dict[str, frozenset[str]]] = {
    "probe": frozenset({"kubernetes"}),
    "module": frozenset(),
}
CODE: Final = "RB050"
MEND: Final = "a later version brings it; `runbook doc` lists what there is"


def said(what: str) -> str:
    """Return the message about something that comes later."""
    return f"{what} is not in this version (0.1)"

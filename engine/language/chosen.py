"""`signatures: [cuda.*]` in a runbook: what these entries of the catalogue are, and what of them travels to a host."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from runbook.engine.errors import RenderError, RunbookInvalid, UserError
from runbook.engine.language import signatures
from runbook.engine.language.kinds import is_template
from runbook.modules.logs.catalogued import PARAMETER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.language.signatures import Catalogue, Signature
    from runbook.engine.model import Runbook
    from runbook.modules.declare import Probe, Step
    from runbook.modules.logs.patterns import Pattern


def names(given: Any) -> tuple[str, ...] | None:
    """Return what is written behind `signatures:`; None where a template is in it, so that it is not known yet."""
    listed = given if isinstance(given, (list, tuple)) else [] if given is None else [given]
    return None if any(is_template(each) for each in listed) else tuple(str(each) for each in listed)


def found(given: Any) -> tuple[Signature, ...] | None:
    """Return the signatures that are meant, or None where that can't be told; lint says why."""
    globs = names(given)
    if not globs:
        return () if globs is not None else None
    try:
        return signatures.catalogue().chosen(globs)
    except UserError:
        return None


def patterns(given: Any) -> tuple[Pattern, ...]:
    """Return what a failure's output is held against; advice is evidence of nothing."""
    chosen = found(given) or ()
    kept = [each.id for each in chosen if each.role != "advice"]
    return tuple(signatures.catalogue().patterns(kept)) if kept else ()


def resolved(cls: type[Step | Probe], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a module's values, and beside the names of signatures all that a host has to know of them.

    Raises:
        RenderError: a name names no signature, or the catalogue can't be read.
    """
    if PARAMETER not in cls.__dataclass_fields__:
        return dict(values)
    globs = names(values.get("signatures", cls.__dataclass_fields__["signatures"].default))
    if not globs:
        return dict(values)
    try:
        return {**values, PARAMETER: _travelling(signatures.catalogue(), globs)}
    except UserError as error:
        raise RenderError(f"signatures: {said(error)}", mend=error.mend) from error


def said(error: UserError) -> str:
    """Return why the catalogue can't be used, with the place of the first of several findings."""
    if isinstance(error, RunbookInvalid) and error.findings:
        return f"{error.findings[0].span}: {error.findings[0].message}"
    return error.what


def signs(runbook: Runbook) -> Mapping[str, Signature]:
    """Return what is known of signatures, where a detector names some: which brings about which."""
    named = any("signatures" in detector.params for detector in runbook.detectors)
    return signatures.catalogue().signatures if named else {}


def heard(runbook: Runbook) -> frozenset[str]:
    """Return the signatures that some detector of a runbook can see: nothing follows from what nobody hears of."""
    given = [each.params["signatures"] for each in runbook.detectors if "signatures" in each.params]
    return frozenset(sign.id for globs in given for sign in found(globs) or ())


@lru_cache(maxsize=64)
def _travelling(catalogue: Catalogue, globs: tuple[str, ...]) -> dict[str, Any]:
    chosen = catalogue.chosen(globs)
    made: dict[str, Any] = {
        "patterns": [[each.name, each.regex, each.role, each.lines, each.event] for each in catalogue.patterns(globs)],
        "actions": {each.id: each.action for each in chosen if each.action is not None},
    }
    if any(each.tells_xid for each in chosen):
        made["xid"] = xid_table(catalogue)
    return made


def xid_table(catalogue: Catalogue) -> dict[str, Any]:
    """Return what a host has to know of each code of the NVIDIA driver."""
    return {
        str(xid.code): {
            "action": xid.action,
            **({"with": dict(xid.companions)} if xid.companions else {}),
            **({"ours": True} if xid.files else {}),
        }
        for xid in catalogue.xid.values()
    }

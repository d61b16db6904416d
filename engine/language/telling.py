"""`tell` of a document → whom a detector's incidents are told to, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runbook.engine.model import Path, Severity, Tell

if TYPE_CHECKING:
    from runbook.engine.language.values import Reader


def tell(reader: Reader, value: Any, path: Path) -> Tell | None:
    """Return whom to tell; None = nobody."""
    if not isinstance(value, dict):
        return None
    usual = Tell()

    def at(key: str) -> tuple[Any, Path]:
        return reader.get(value, key, path), (*path, key)

    return Tell(
        about=frozenset(reader.words(*at("about"))) or usual.about,
        channels=reader.words(*at("channels")),
        remind=reader.seconds(*at("remind"), default=usual.remind),
        min_severity=Severity(at("min_severity")[0] or usual.min_severity.value),
    )

"""Texts of an inventory that are more than text: encrypted, out of a vault, or no templates whatever they look like."""

from __future__ import annotations

from typing import Any

from runbook.modules.frozen import frozen

Mark = tuple[int, int]  # line and column, both from 1


class Unsafe(str):
    """A text that is never a template: what `!unsafe` stands before."""

    __slots__ = ()


class Opened(str):
    """A text that came out of a vault: a secret, which has no place in output or journal."""

    __slots__ = ()


@frozen
class Sealed:
    """An encrypted value (`!vault`), decrypted when it is used.

    Attributes:
        ciphertext: what stands in the file, with its header.
        where: `file:line`, for messages.
    """

    ciphertext: str
    where: str = ""

    def __str__(self) -> str:
        return "a vaulted value"


class Map(dict[Any, Any]):
    """A mapping of a file, and where its keys and values stand (`places`: key → marks of the key and of its value)."""

    __slots__ = ("mark", "places")

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[Any, tuple[Mark, Mark]] = {}
        self.mark: Mark = (1, 1)

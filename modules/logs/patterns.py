"""What a line of a log is held against: named regular expressions, with what the catalogue knows of each."""

from typing import Optional

from runbook.modules.frozen import frozen


@frozen
class Pattern:
    """One named regular expression."""

    name: str  # a signature's id, the name in the runbook, or the expression itself
    regex: str  # in Python's syntax, for text
    role: Optional[str] = None  # root, cascade, confirmation or advice
    lines: int = 1  # over how many lines a match may reach
    event: str = ""  # hits of one event that stand close together are one record

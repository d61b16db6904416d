"""Durations and sizes as a person writes them. Apart from `units`, which reads them: answers need no patterns."""

from __future__ import annotations


def format_duration(seconds: float) -> str:
    """Return seconds as a person writes them: `10m`, `1h30m`, `1.5s`, `250ms`."""
    if seconds < 0:
        return f"-{format_duration(-seconds)}"
    if seconds < 1:
        return f"{round(seconds * 1000)}ms" if seconds else "0s"
    if seconds < 60:
        short = f"{seconds:.1f}".rstrip("0").rstrip(".")
        if short != "60":
            return f"{short}s"
    left, words = round(seconds), []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        number, left = divmod(left, length)
        if number:
            words.append(f"{number}{unit}")
    return "".join(words[:2]) if words else "0s"


def format_size(count: float) -> str:
    """Return bytes as a person writes them: `1.5 GB`, `312 B`."""
    value = float(abs(count))
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        shown = f"{value:.1f}".rstrip("0").rstrip(".")
        if float(shown) < 1000 or unit == "PB":
            return f"{'-' if count < 0 else ''}{shown} {unit}"
        value /= 1000
    raise AssertionError

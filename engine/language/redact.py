"""Taking the values of secrets out of whatever is printed, journalled or sent."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

from runbook.engine.errors import RenderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SHORTEST: Final = 4  # characters of a secret
MASK: Final = "***"
_SHORTEST_PART = 8  # characters: a shorter line of a secret, or piece of its base64, would match by chance


def redactor(secrets: Mapping[str, str] | Iterable[str]) -> Callable[[str], str]:
    """Return the function that replaces secrets by `***`, as they are, and escaped for JSON, for URLs, and in base64.

    Args:
        secrets: their values, or a mapping of their names to their values.

    Raises:
        RenderError: a secret is so short that masking it would mask half of any text.
    """
    named: Mapping[str, str] | Mapping[int, str]
    named = secrets if isinstance(secrets, Mapping) else dict(enumerate(secrets))
    forms: set[str] = set()
    for name, value in named.items():
        if len(value) < SHORTEST:
            which = f"the secret '{name}'" if isinstance(name, str) else "a secret"
            raise RenderError(
                f"{which} has fewer than {SHORTEST} characters", mend="check where it is read from: it may be empty"
            )
        forms.update(_forms(value))
    if not forms:
        return lambda text: text
    pattern = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
    return lambda text: pattern.sub(MASK, text)


def _forms(value: str) -> Iterator[str]:
    for part in {value, value.strip(), *(line.strip() for line in value.splitlines() if len(line) >= _SHORTEST_PART)}:
        if len(part) < SHORTEST:
            continue
        yield part
        yield json.dumps(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        yield json.dumps(part)[1:-1].replace("/", "\\/")
        yield repr(part)[1:-1]
        for made in (quote(part), quote(part, safe=""), quote_plus(part)):
            yield made
            yield re.sub(r"%[0-9A-F]{2}", lambda escape: escape[0].lower(), made)
        yield from _encoded(part.encode())


def _encoded(value: bytes) -> Iterator[str]:
    """Yield the base64 of a value, also as it stands inside the base64 of a longer text (`user:token`)."""
    for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
        whole = alphabet(value).decode()
        yield whole
        yield whole.rstrip("=")
        for shift in range(3):
            made = alphabet(b"\0" * shift + value).decode().rstrip("=")
            first = (0, 2, 3)[shift]
            last = len(made) - (1 if (shift + len(value)) % 3 else 0)
            if last - first >= _SHORTEST_PART:
                yield made[first:last]

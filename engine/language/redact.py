"""Taking the values of secrets out of whatever is printed, journalled or sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from runbook.engine.errors import RenderError
from runbook.modules import mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SHORTEST: Final = 4  # characters of a secret


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
    return lambda text: pattern.sub(mask.MASK, text)


def _forms(value: str) -> Iterator[str]:
    lines = (line.strip() for line in value.splitlines() if len(line) >= mask.SHORTEST_PART)
    for part in {value, value.strip(), *lines}:
        if len(part) >= SHORTEST:
            yield from mask.printed(part)

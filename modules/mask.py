"""Taking secrets out of what a step says, on the host itself: before anything is cut, kept in the ledger or sent.

The controller masks again what arrives, with the secrets themselves; a host knows only the parameters they went into.
"""

import base64
import json
import re
from typing import Any, Callable, Iterable, Iterator, Mapping, Optional, Pattern, Set, Tuple

MASK = "***"
SHORTEST = 4  # characters of a parameter that a secret went into
SHORTEST_PART = 8  # characters of a part of one: a shorter part would match by chance
_PASSWORD = re.compile(r"://[^/@\s:]*:([^/@\s]+)@")  # user:password@ of an address


class Mask:
    """What is masked; nothing, without forms."""

    def __init__(self, forms: Iterable[str] = ()) -> None:
        ordered = sorted((form for form in forms if form), key=len, reverse=True)
        encoded = [form.encode("utf-8", "surrogatepass") for form in ordered]
        self._text: Optional[Pattern[str]] = re.compile("|".join(map(re.escape, ordered))) if ordered else None
        self._data: Optional[Pattern[bytes]] = re.compile(b"|".join(map(re.escape, encoded))) if encoded else None
        self._longest = max(map(len, encoded), default=0)  # bytes

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        return text if self._text is None else self._text.sub(MASK, text)

    def value(self, value: Any) -> Any:
        """Return a value whose texts are without secrets."""
        if self._text is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.value(name): self.value(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        if isinstance(value, (bytes, bytearray)):
            return value if self._data is None else self._data.sub(MASK.encode(), value)
        return value

    def split(self, data: bytes) -> Tuple[bytes, bytes]:
        """Return (the beginning of a stream without secrets, the rest, in which one may have begun)."""
        if self._data is None:
            return data, b""
        decided = len(data) - self._longest + 1  # whatever begins before it is here as a whole
        done, at = [], 0
        for found in self._data.finditer(data):
            if found.start() >= decided:
                break
            done += [data[at : found.start()], MASK.encode()]
            at = found.end()
        decided = max(at, decided)
        return b"".join([*done, data[at:decided]]), data[decided:]


def of(params: Mapping[str, Any], names: Iterable[str]) -> Mask:
    """Return the mask for parameters that a secret went into.

    Args:
        params: the values that travelled.
        names: of parameters, or `parameter.key` for one value of a mapping.
    """
    forms: Set[str] = set()
    for name in names:
        parameter, _, key = name.partition(".")
        value = params.get(parameter)
        if key and isinstance(value, Mapping):
            value = value.get(key)
        exact = isinstance(value, str)  # else: some of these values hold a secret, and some do not
        for text in _texts(value):
            for part in _parts(text, SHORTEST if exact else SHORTEST_PART):
                forms.update(printed(part))
    return Mask(forms)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def _parts(text: str, shortest: int) -> Iterator[str]:
    """Yield what may be the secret in a value such as `Bearer TOKEN`: all of it, lines, long words, a password."""
    whole = text.strip()
    if len(whole) >= shortest:
        yield text
        yield whole
    for part in (*text.splitlines(), *text.split()):
        if len(part.strip()) >= SHORTEST_PART:
            yield part.strip()
    yield from (found for found in _PASSWORD.findall(text) if len(found) >= SHORTEST)


def printed(part: str) -> Iterator[str]:
    """Yield how a text may be printed: as it is, escaped for JSON, Python and URLs, and in base64."""
    from urllib.parse import quote, quote_plus  # few steps have secrets

    escapes: Tuple[Callable[[str], str], ...] = (
        lambda text: json.dumps(text)[1:-1],
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
        lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
        lambda text: repr(text)[1:-1],
    )
    yield part
    for escape in escapes:
        yield escape(part)
    plain = part.encode("utf-8", "surrogatepass")
    for made in (quote(plain), quote(plain, safe=""), quote_plus(plain)):
        yield made
        yield re.sub(r"%[0-9A-F]{2}", lambda code: code[0].lower(), made)
    for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):  # bytes that may stand before it in a longer text such as `user:token`
            made = alphabet(b"\0" * before + plain).decode().rstrip("=")
            inner = made[(0, 2, 3)[before] : len(made) - (1 if (before + len(plain)) % 3 else 0)]
            if len(inner) >= SHORTEST_PART:
                yield inner
            if not before:
                yield made

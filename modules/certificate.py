"""When an X.509 certificate ends, read from its DER form; Python tells it only of certificates that it trusts."""

from datetime import datetime, timezone
from typing import Iterator, Optional, Tuple

_UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x17, 0x18, 0xA0


def ends(der: bytes) -> Optional[float]:
    """Return the certificate's notAfter in seconds since the epoch, or None where this is no certificate."""
    try:
        certificate = next(_elements(der))[1]
        fields = list(_elements(next(_elements(certificate))[1]))
        if fields[0][0] == _VERSION:
            fields = fields[1:]
        _serial, _algorithm, _issuer, validity = fields[:4]
        _begin, (kind, text) = list(_elements(validity[1]))
        return _moment(kind, text.decode("ascii"))
    except (ValueError, IndexError, StopIteration):
        return None


def _moment(kind: int, text: str) -> float:
    if kind == _UTC_TIME:  # two digits for the year: 50 to 99 are of the last century
        text = f"{'19' if int(text[:2]) >= 50 else '20'}{text}"
    elif kind != _GENERALIZED_TIME:
        raise ValueError("no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()


def _elements(data: bytes) -> Iterator[Tuple[int, bytes]]:
    """Yield tag and content of the elements that stand one after the other."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            digits = length & 0x7F
            length, at = int.from_bytes(data[at : at + digits], "big"), at + digits
        if at + length > len(data):
            raise ValueError("cut off")
        yield tag, data[at : at + length]
        at += length

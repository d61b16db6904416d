"""Taking secrets out of what others wrote: those that are known, and what looks like one."""

import re
from typing import Iterable, List, Match, Pattern, Sequence, Tuple

from runbook.modules import mask
from runbook.modules.evidence.shapes import RARER, TOKENS
from runbook.modules.mask import MASK, Mask

_SHAPES = re.compile(f"{TOKENS}|{RARER}")
_KEYS = re.compile(
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----|\Z)"
    r"|\A(?:line \d+ is not there any more; these are the last\n)?[A-Za-z0-9+/=\s>]+"  # a piece that begins within one
    r"-----END [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----"
    r"|(?<=\nPrivate-Lines: )\d{1,5}\n[A-Za-z0-9+/=\s]+\nPrivate-MAC: [0-9a-f]*",  # PuTTY's
    re.DOTALL,
)
_VALUE = (
    r"(?:\w{1,40}\([\"'][^\"'\n]*[\"']\)"  # as Python shows it: SecretStr('…')
    r"|\\\"(?:[^\"\\\n]|\\[^\"\n])*(?:\\?\"|(?=\n)|\Z)|\"(?:[^\"\\\n]|\\[^\n])*(?:\"|(?=\n)|\Z)"
    r"|'[^'\n]*(?:'|(?=\n)|\Z)|[^\s&\"'<>]+)"
)
_NAMES = (  # or their ends: the fewer letters they begin with, the faster they are found
    r"(?:password|passwd|passphrase|pwd|token|api[_-]?key|secret|secret[_-]?key|access[_-]?key|private[_-]?key"
    r"|client[_-]?secret|credentials?|count[_-]?key|auth[_-]key|cryption[_-]?key|signing[_-]?key|shared[_-]?key"
    r"|ster[_-]?key|service[_-]?key|psk|pat(?<=_pat))"
)
_SAID = (  # no mere number or switch, and no `|` before a block
    r"(?!(?:\d{1,9}(?:\.\d+)?|true|false|null|none)(?:[\s,;)\]}\"']|\Z)|\|[0-9+-]{0,2}[ \t]*(?:\n|\Z))" + _VALUE
)
_SHORT = r"(?<!by)(?<!com)pass"  # alone it is a word of many meanings
_BLOCK = re.compile(  # YAML's `password: |`, in a file or between the numbers of lines around a finding
    r"^(?P<head>(?P<number> *\d+[> ] )?(?P<indent>[ \t]*)(?![ \t])(?:- )?"
    rf"[^\n:]{{0,80}}?(?:{_NAMES}|{_SHORT})[\"']?[ \t]{{0,3}}:[ \t]{{0,3}}[|>][0-9+-]{{0,2}}[ \t]*\n)"
    r"(?:(?(number) *\d+[> ] )(?:(?P=indent)[ \t]+[^\n]*)(?:\n|\Z))+",
    re.IGNORECASE | re.MULTILINE,
)
_GROUPED: Sequence[Pattern[str]] = (  # the first group stays
    re.compile(rf"({_NAMES}\\?[\"']?\s{{0,3}}(?::|=>?)\s{{0,3}}){_SAID}", re.IGNORECASE),
    re.compile(rf"({_SHORT}=){_SAID}", re.IGNORECASE),
    re.compile(rf"((?:{_SHORT}\\?[\"']\s{{0,3}}|[_-]pass|[{{,]\s{{0,3}}pass):\s{{0,3}}){_SAID}", re.IGNORECASE),
    re.compile(rf"((?:^|\s)--?[a-z0-9-]{{0,40}}?(?:{_NAMES}|{_SHORT})\s+)(?!-){_VALUE}", re.IGNORECASE | re.MULTILINE),
    re.compile(rf"(<[\w:.-]{{0,40}}?(?:{_NAMES}|{_SHORT})>)[^<\n]+(?=</)", re.IGNORECASE),
    re.compile(r"(\blogin\s{1,8}\S{1,128}\s{1,8}(?:account\s\S{1,128}\s{1,8})?password\s{1,8})\S+"),  # .netrc
    re.compile(r"(\bbindpw\s{0,3}[\s:=]\s{0,8})\S+", re.IGNORECASE),
    re.compile(r"(^[\w.*-]{1,255}:(?:5432|\*):[^:\s]{1,128}:[^:\s]{1,128}:)[^:\s]+$", re.MULTILINE),  # .pgpass
    re.compile(r"([\"']auth[\"']\s{0,3}:\s{0,3}[\"'])[A-Za-z0-9+/=]{8,}"),  # of Docker's registries
    re.compile(r"([?&](?:sig|(?:x-(?:amz|goog)-)?signature|x-(?:amz|goog)-(?:credential|security-token))=)[^&\s\"'<>]+",
               re.IGNORECASE),
    re.compile(rf"([\"']--?[a-z0-9-]{{0,40}}?(?:{_NAMES}|{_SHORT})[\"'],\s{{0,3}}){_VALUE}", re.IGNORECASE),
    re.compile(rf"(\bsshpass\b[^\n]{{0,80}}?\s-p\s{{0,3}}){_VALUE}"),
    re.compile(rf"(\b(?:mysql|mariadb)[a-z-]{{0,20}}\b[^\n]{{0,300}}?\s-p)(?!\s){_VALUE}"),
    re.compile(rf"(\bredis-cli\b[^\n]{{0,300}}?\s-a\s{{1,3}}){_VALUE}"),
    re.compile(r"(authorization\\?(?:[\"']\s{0,3},|[\"']?\s{0,3}[:=])\s{0,3}\[?\s{0,3}\\?[\"']?"
               r"(?:(?:bearer|basic|token|digest|negotiate)\s+)?)[^\s\"',\\\]]+", re.IGNORECASE),
    re.compile(r"(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{12,}", re.IGNORECASE),
    re.compile(r"(cookie[\"']?\s{0,3}:\s{0,3})[^\n]+", re.IGNORECASE),
    re.compile(r"(://[^\s/:@\"']{0,128}:)[^\s/?#\"']+(?=@)"),
    re.compile(r"(://)(?!\*)[\w-]{20,256}(?=@)"),  # a token in the place of a user
    re.compile(r"(\s(?:-u|--user)\s+[^\s:]{1,128}:)\S+"),
)  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class Redaction:
    """What takes secrets out of texts, and counts them."""

    def __init__(self, known: Iterable[str], params: Mask) -> None:
        """Make one.

        Args:
            known: the runbook's secrets.
            params: what masks the secrets of the step's own parameters.
        """
        values = [text for text in known if len(text) >= mask.SHORTEST]
        self._masks: Tuple[Mask, ...] = (
            mask.of({"known": values}, ["known"]) if values else Mask(),
            _whole(values),
            params,
        )

    def text(self, found: str) -> Tuple[str, int]:
        """Return a text without secrets, and how many were taken out."""
        taken: List[int] = []
        for one in self._masks:
            masked = one.text(found)
            taken.append(masked.count(MASK) - found.count(MASK))
            found = masked
        for shape in (_KEYS, _SHAPES):
            found, count = shape.subn(MASK, found)
            taken.append(count)
        found, count = _BLOCK.subn(_headed, found)
        taken.append(count)
        for grouped in _GROUPED:
            found, count = grouped.subn(_kept, found)
            taken.append(count)
        return found, sum(taken)


def legible(text: str) -> str:
    """Return a text that moves no cursor and changes no colour where it is shown."""
    return _CONTROL.sub(_spelled, text.replace("\r\n", "\n"))


def _whole(values: Iterable[str]) -> Mask:
    return Mask(form for value in values for form in mask.printed(value))


def _kept(found: "Match[str]") -> str:
    return f"{found[1]}{MASK}"


def _headed(found: "Match[str]") -> str:
    return f"{found['head']}{found['indent']}  {MASK}\n"


def _spelled(found: "Match[str]") -> str:
    return found[0].encode("unicode_escape").decode("ascii")

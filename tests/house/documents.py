"""The documents as the tests read them: blocks of code, what stands before them, and links.

A comment before a block says what to do with it, and pages do not show it:

- `<!-- file: trainer.yaml -->` writes it into the page's directory, in which its consoles run
- `<!-- detectors -->` is a list of detectors, not a whole runbook (likewise: steps, operations, top)
- `<!-- lint: RB035 RB036 -->` says that these findings, and no others, are what the page wants to show
- `<!-- not run: why -->` leaves it alone
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_BLOCK = re.compile(
    r"(?:^[ ]*<!-- (?P<note>[^\n]*) -->\n)?^(?P<fence>```+)(?P<language>\w*)\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_SRC = re.compile(r'src="(?P<target>[^"]+)"')
_CHANGING = (
    (
        re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?([+-]\d{4})?"),
        "CLOCK",
    ),  # shortly before midnight it is another day's
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "DAY"),
    (re.compile(r"\b\d\d:\d\d(?::\d\d)?\b"), "CLOCK"),
    (re.compile(r"/tmp/runbook-\w+"), "SCRATCH"),
    (re.compile(r"\b(?:pid )?\(?\b\d{2,7}\)"), "PID"),
    (re.compile(r"\b[0-9a-f]{8}\b"), "ID"),
    (re.compile(r"\b(?:\d+(?:\.\d+)?(?:ms|[smhd]))+\b"), "TIME"),
    (re.compile(r"\b(?:now|TIME ago) \("), "AGO ("),
    (re.compile(r" \(TIME\)"), ""),  # a step that took less than a tenth of a second does not tell
    (re.compile(r"/\S*/python3?[.\d]*\b"), "PYTHON"),
)
_OF_HOSTS = (
    (re.compile(r"\bTIME to TIME\b"), "TIME"),  # longer here than there, or on all the same
)
_FLEETS = frozenset({"fleet.md"})  # pages whose consoles are about many hosts


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    note: str
    text: str

    @property
    def name(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self):
        """The name under which it is kept, or an empty text."""
        return self.note.split()[1] if self.note.startswith("file: ") else ""

    @property
    def codes(self):
        """The lint findings that it wants to show."""
        _, found, codes = self.note.partition("lint: ")
        return sorted(codes.split()) if found else []


def blocks(page):
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("fence")) + 1
        yield Block(page, line, found["language"], found["note"] or "", found["text"])


def links(page):
    """Where a page's links and pictures lead, code left out."""
    text = re.sub(r"`[^`\n]*`", "", _BLOCK.sub("", page.read_text(encoding="utf-8")))
    for pattern in (_LINK, _SRC):
        yield from (found["target"] for found in pattern.finditer(text))


def anchors(page):
    """The anchors of a page's headings, as GitHub and mkdocs make them."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading).strip().lower()
        yield re.sub(r"\s+", "-", plain)


def commands(text):
    """Yield each command of a console with what it should print."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        while command.endswith("\\"):
            more, _, shown = shown.partition("\n")
            command = f"{command[:-1]}{more.removeprefix('> ').strip()}"
        yield command, shown


def steady(text, page=None):
    """A text's words, with what changes from run to run replaced: times, pids, scratch places."""
    for pattern, word in (*_CHANGING, *(_OF_HOSTS if page is not None and page.name in _FLEETS else ())):
        text = pattern.sub(word, text)
    return " ".join(text.split())


def mismatch(shown, printed, page=None):
    """Say what a page shows that was not printed, or an empty text; a line with … alone stands for any lines."""
    parts = [steady(part, page) for part in re.split(r"^[ ]*…[ ]*$", f"{shown}\n", flags=re.MULTILINE)]
    rest, last = steady(printed, page), len(parts) - 1
    for number, part in enumerate(parts):
        if number == 0:
            fits, at = rest.startswith(part) and (last > 0 or rest == part), 0
        elif number == last:
            fits, at = rest.endswith(part), len(rest) - len(part)
        else:
            at = rest.find(part)
            fits = at >= 0
        if not fits:
            return f"did not print: {part}\nbut: {rest}"
        rest = rest[at + len(part) :]
    return ""

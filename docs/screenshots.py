# ruff: noqa: INP001 -- a script, no package
"""Draw docs/images/ from what runbook really prints.

.venv/bin/python docs/screenshots.py
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
COLUMNS = 80
_CRASH = """\
2026-11-22 04:00:00 INFO step 2600 | loss 2.31 | 4,113 tokens/s
2026-11-22 04:00:10 [rank0]: Traceback (most recent call last):
2026-11-22 04:00:10 [rank0]:   File "train.py", line 118, in <module>
2026-11-22 04:00:10 [rank0]:     loss.backward()
2026-11-22 04:00:10 [rank0]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total \
capacity of 79.11 GiB of which 1.22 GiB is free.
2026-11-22 04:00:12 [rank1]:[E ProcessGroupNCCL.cpp:414] Some NCCL operations have failed or timed out. Due to the \
asynchronous nature of CUDA kernels, subsequent GPU operations might run on corrupted/incomplete data.
2026-11-22 04:00:13 torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
"""
_WRONG = """\
name: models
writable: [/srv/models/cache]
detectors:
  - name: disk filling
    health: /srv/models
    when: disk_fre < 50GB
    limit: 2 per 1d
    recover:
      - clear_cache: {path: /srv/models, older_than: 7d}
"""


def printed(words: list[str], where: str) -> str:
    """Return what a command prints on a terminal, colours included."""
    ours, theirs = pty.openpty()
    env = {
        **os.environ,
        "COLUMNS": str(COLUMNS),
        "LINES": "60",
        "TERM": "xterm-256color",
        "RUNBOOK_JOURNAL": f"{where}/journal.db",
        "RUNBOOK_AGENT_DIR": f"{where}/agent",
    }
    env.pop("NO_COLOR", None)
    started = subprocess.Popen(  # noqa: S603 -- our own program
        [sys.executable, "-m", "runbook", *words], cwd=where, env=env, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    text = b""
    while True:
        try:
            more = os.read(ours, 65536)
        except OSError:
            break
        if not more:
            break
        text += more
    os.close(ours)
    started.wait()
    return _settled(text.decode("utf-8", "replace"))


def _settled(text: str) -> str:
    """Return what stays on the screen when progress has been written over, and no path of this machine."""
    lines, row = [""], 0
    for part in re.split(r"(\x1b\[[0-9?;]*[A-Za-z]|\n|\r)", text):
        up = re.fullmatch(r"\x1b\[(\d*)A", part)
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif up:
            row -= int(up[1] or 1)
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part != "\r" and not re.fullmatch(r"\x1b\[[^m]*[A-Za-ln-z]", part):
            lines[row] += part
    screen = "\n".join(lines).replace(str(HERE.parent), "/home/you")
    return re.sub(r"/\S*/(python3?[.\d]*)\b", r"/usr/bin/\1", screen).strip("\n")


def draw(name: str, command: str, text: str) -> None:
    """Write one picture; its font is the reader's own, so that nothing is fetched from elsewhere."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(Text(f"$ {command}", style="bold"))
        console.print(Text.from_ansi(text))
        svg = console.export_svg(title=command, unique_id=name)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code", "ui-monospace, Menlo, DejaVu Sans Mono")
    (HERE / "images" / f"{name}.svg").write_text(svg, encoding="utf-8")


def main() -> None:
    """Draw them all."""
    (HERE / "images").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as where:
        draw("quickstart", "runbook apply quickstart", printed(["apply", "quickstart"], where))
        (Path(where) / "models.yaml").write_text(_WRONG, encoding="utf-8")
        (Path(where) / "rank0.log").write_text(_CRASH, encoding="utf-8")
        draw("scan", "runbook scan rank0.log", printed(["scan", "--no-journal", "rank0.log"], where))
        draw("lint", "runbook lint models.yaml", printed(["lint", "models.yaml"], where))


if __name__ == "__main__":
    main()

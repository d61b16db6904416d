# ruff: noqa: D102, ARG002 -- Host says what these answer
"""What golden cases are made of: a host that answers from data, and real files. Runs under Python 3.9 too."""

from __future__ import annotations

import base64
import json
import os
import stat
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runbook.modules.declare import Unclear
from runbook.modules.host import Completed, Host, Process

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Unanswered(AssertionError):
    """A module asks the host something that its case does not answer."""


@dataclass
class FakeHost(Host):
    """A host that answers from a case; files are real, programs and processes are not."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)

    def now(self) -> float:
        return float(self.answers["now"]) if "now" in self.answers else super().now()

    def boot_time(self) -> float:
        return float(self.answers["boot_time"]) if "boot_time" in self.answers else super().boot_time()

    def free_space(self, path: str) -> int:
        return int(self.answers["free_space"]) if "free_space" in self.answers else super().free_space(path)

    def which(self, program: str) -> str | None:
        found: str | None = self.answers.get("which", {}).get(program)
        return found

    def run(
        self,
        *argv: str,
        timeout: float = 10.0,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Completed:
        line = " ".join(argv)
        programs = self.answers.get("run", {})
        if line not in programs:
            raise Unanswered(f"the module runs `{line}`, which the case does not answer; it answers {sorted(programs)}")
        answer = programs[line]
        if isinstance(answer, list):  # one answer after the other, the last one for ever
            turn = self.asked.get(line, 0)
            self.asked[line] = turn + 1
            answer = answer[min(turn, len(answer) - 1)]
        if isinstance(answer, str):
            return Completed(0, answer)
        if "unclear" in answer:
            raise Unclear(answer["unclear"])
        return Completed(answer.get("exit_code", 0), answer.get("stdout", ""), answer.get("stderr", ""))

    def processes(self, *, anew: bool = False) -> Sequence[Process]:
        defaults = {"parent": 1, "started": 1, "state": "S", "uid": 0, "argv": (), "cgroup": ""}
        given = [{**defaults, **process} for process in self.answers.get("processes", [])]
        return [
            Process(**{**process, "argv": tuple(process["argv"])}, group=group)
            for process, group in ((process, process.pop("cgroup")) for process in given)
        ]


def make_files(root: Path, files: Mapping[str, Any], now: float) -> None:
    """Make a case's files below `root`."""
    for name, given in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(path, {"content": given} if isinstance(given, str) else dict(given or {}), root)
    for name, given in reversed(list(files.items())):  # a directory's age after those of what was made in it
        if isinstance(given, Mapping) and "age" in given:
            at = now - _seconds(given["age"])
            os.utime(root / name, (at, at), follow_symlinks=False)


def _make(path: Path, given: dict[str, Any], root: Path) -> None:
    if "link" in given:
        path.symlink_to(given["link"])
        return
    if "hardlink" in given:
        os.link(root / given["hardlink"], path)
        return
    if given.get("directory"):
        path.mkdir(exist_ok=True)
    elif given.get("fifo"):
        os.mkfifo(path)
    elif "zip" in given:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in given["zip"].items():
                archive.writestr(name, content)
    elif "safetensors" in given:  # {header: {…}, data: bytes behind it}
        header = json.dumps(given["safetensors"]["header"]).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(given["safetensors"].get("data", 0)))
    elif "base64" in given:
        path.write_bytes(base64.b64decode(given["base64"]))
    else:
        path.write_text(given.get("content", ""), encoding="utf-8")
    if "cut" in given:  # a download that broke off: only the first bytes
        os.truncate(path, given["cut"])
    if "size" in given:  # as long as that, without taking so much space
        os.truncate(path, given["size"])
    if "owner" in given:
        os.chown(path, given["owner"], given.get("group", -1))
    if "mode" in given:
        path.chmod(stat.S_IMODE(int(given["mode"], 8)))


def _seconds(age: Any) -> float:
    return float(age[:-1]) * SECONDS[age[-1]] if isinstance(age, str) else float(age)

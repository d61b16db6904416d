"""The step `verify_files`."""

import os
import time
from typing import Any, Dict, Iterator, List, Literal, Mapping, Optional, Tuple, Union

from runbook.modules.acting.regular_file import reading
from runbook.modules.actions import Action
from runbook.modules.declare import Failed, Glob, Impact, Invalid, NotYet, Path, Step, Unclear
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

SUFFIXES = {
    "json": (".json",),
    "yaml": (".yaml", ".yml"),
    "toml": (".toml",),
    "safetensors": (".safetensors",),
    "zip": (".zip", ".npz"),
    "torch": (".pt", ".pth", ".bin", ".ckpt"),
}
BLOCK = 1024 * 1024  # bytes read at a time
SHOWN = 10  # faults that a message names


@frozen
class VerifyFiles(Step):
    """Fail unless files are there, sound, and what their checksums say; changes nothing.

    The names in `files` count from `path` on; a pattern such as `*.safetensors` must fit at least one file. `valid`
    is about the files that `files` names, or without it about all below `path` with a fitting suffix, of which there
    must be one; `path` itself may be a single file. `valid: checkpoint` is about directories: `path`, or those that
    `files` names, with all their shards and ranks. Links are followed, as in the cache of the Hugging Face hub.

    Example:
        - verify_files: {path: /srv/models/qwen, files: [config.json, "*.safetensors"]}
        - verify_files: {path: /srv/models/qwen, valid: safetensors}
        - verify_files:
            path: /srv/models/qwen
            sha256: /srv/models/qwen/SHA256SUMS
    """

    impact = Impact.NONE
    needs = ("ruamel.yaml", "tomlkit")
    pathlike = ("sha256",)
    timeout = 3600.0

    path: Path  # a file, or the directory that holds the files
    files: Tuple[Glob, ...] = ()  # names or globs of files that must be there
    sha256: Optional[Union[Mapping[str, str], str]] = None  # checksums by name, or the path of a list from sha256sum
    valid: Optional[Literal["json", "yaml", "toml", "safetensors", "zip", "torch", "checkpoint"]] = (
        None  # their content
    )

    def check(self) -> None:
        """Names that stay below the path, and checksums that are some."""
        named = [*self.files, *(self.sha256 if isinstance(self.sha256, Mapping) else ())]
        for name in named:
            if name.startswith("/") or ".." in name.split("/") or not name:
                raise Invalid(f"`{name}` must be a name or a path from `path` on, without `..`")
        for name, digest in self.sha256.items() if isinstance(self.sha256, Mapping) else ():
            if len(digest) != 64 or not all(digit in "0123456789abcdefABCDEF" for digit in digest):
                raise Invalid(f"`sha256` of {name} is not 64 hexadecimal digits")

    def needed(self) -> Tuple[str, ...]:
        """What reads YAML and TOML where the host's Python can't."""
        return {"yaml": self.needs[:1], "toml": self.needs[1:]}.get(self.valid or "", ())

    def plan(self, host: Host) -> List[Action]:
        """Look at all of it; there is never anything to do."""
        until = time.monotonic() + self.timeout
        if not os.path.exists(self.path):
            raise NotYet(f"{self.path} is not there")
        files = list(self._named())
        faults = [f"{name}: missing" for name, path in files if path is None]
        there = [(name, path) for name, path in files if path is not None]
        faults += self._unsound(there, until)
        faults += self._unlike(until)
        if faults:
            more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
            lacking = all(fault.endswith(": missing") for fault in faults)
            raise (NotYet if lacking else Failed)(f"{self.path}: {'; '.join(faults[:SHOWN])}{more}")
        listed = self.sha256 if isinstance(self.sha256, Mapping) else ()
        host.remember(checked=len({name for name, _ in there} | set(listed)))
        return []

    def report(self, host: Host) -> Dict[str, Any]:
        """Say how many files were looked at."""
        return {"checked": host.kept.get("checked", 0)}

    def _named(self) -> Iterator[Tuple[str, Optional[str]]]:
        """Yield the files to look at by name, with None for what is not there."""
        if not os.path.isdir(self.path):
            yield os.path.basename(self.path), self.path
            return
        for name in self.files:
            found = [path for path in self._expand(name) if self.valid == "checkpoint" or os.path.isfile(path)]
            yield from ((os.path.relpath(path, self.path), path) for path in found)
            if not found:
                yield name, None
        if self.valid == "checkpoint" and not self.files:
            yield os.path.basename(self.path.rstrip("/")), self.path
        elif self.valid and not self.files:
            fitting = [path for path in self._expand("**") if path.lower().endswith(SUFFIXES[self.valid])]
            yield from ((os.path.relpath(path, self.path), path) for path in fitting)
            if not fitting:
                yield f"any *{SUFFIXES[self.valid][0]}", None

    def _expand(self, pattern: str) -> List[str]:
        import glob

        from runbook.modules import globs

        try:
            return globs.expand(os.path.join(glob.escape(self.path), pattern))
        except Unclear as error:
            raise Failed(str(error)) from error

    def _unsound(self, files: List[Tuple[str, str]], until: float) -> Iterator[str]:
        if self.valid is None:
            return
        from runbook.modules.formats.validity import judge

        for name, path in files:
            try:
                verdict = judge(path, self.valid, until, {})[0]
            except OSError as error:
                yield f"{name}: can't be read: {error.strerror}"
                continue
            if not verdict.valid:
                told = "not valid" if verdict.valid is False else "can't be told to be valid"
                yield f"{name}: {told} {self.valid}: {verdict.reason}"

    def _unlike(self, until: float) -> Iterator[str]:
        """Yield the files that have another checksum than they should."""
        from runbook.modules.formats.validity import judge

        if isinstance(self.sha256, str):
            listed = os.path.join(self.path, self.sha256)
            try:
                verdict = judge(listed, "sha256", until, {})[0]
            except OSError as error:
                yield f"{self.sha256}: can't be read: {error.strerror}"
                return
            if not verdict.valid:
                yield f"{self.sha256}: {verdict.reason}"
        for name, digest in self.sha256.items() if isinstance(self.sha256, Mapping) else ():
            path = os.path.join(self.path, name) if os.path.isdir(self.path) else self.path
            try:
                found = _digest(path)
            except FileNotFoundError:
                yield f"{name}: missing"
            except OSError as error:
                yield f"{name}: can't be read: {error.strerror}"
            else:
                if found != digest.lower():
                    yield f"{name}: its sha256 is {found}"


def _digest(path: str) -> str:
    import hashlib

    digest = hashlib.sha256()
    with reading(path) as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()

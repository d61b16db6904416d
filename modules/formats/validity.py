"""Whether a file is sound: JSON, YAML, TOML, safetensors, zip, torch, a sha256 list with its files, a checkpoint."""

import importlib
import json
import os
import re
import time
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple

from runbook.modules.acting.regular_file import Irregular, reading
from runbook.modules.checkpoints.whole import entire
from runbook.modules.formats.form import Format
from runbook.modules.formats.unsound import LARGEST_TEXT, Unsound, Untold, told
from runbook.modules.formats.weights import checked_safetensors, checked_torch, checked_zip, foreign
from runbook.modules.frozen import frozen

SUFFIXES: "Mapping[str, Format]" = {
    ".json": "json", ".safetensors": "safetensors", ".zip": "zip", ".npz": "zip",
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt"), "torch"),
}  # fmt: skip
SHARED = (".bin", ".ckpt")  # other programs call their files so as well

BLOCK = 1024 * 1024
LONGEST_REASON = 500  # characters

_LISTED = re.compile(r"\\?(?P<digest>[0-9a-fA-F]{64}) [ *](?P<name>.+)")
_ESCAPED = re.compile(r"\\([\\nr])")
_BSD_LISTED = re.compile(r"SHA256 \((?P<name>.+)\) = (?P<digest>[0-9a-fA-F]{64})")


@frozen
class Verdict:
    """What was found; `valid` is None where it could not be told."""

    valid: Optional[bool]
    reason: str = ""


def judge(path: str, form: Format, until: float, known: Mapping[str, Any]) -> Tuple[Verdict, Dict[str, Any]]:
    """Judge one file, within a time limit.

    Args:
        path: the file.
        form: what it should be.
        until: the time on the monotonic clock at which to give up.
        known: what an earlier call returned beside its verdict, so that nothing is read twice that did not change.

    Raises:
        OSError: the file can't be read.
    """
    mark = _mark(path)
    several = _SEVERAL.get(form)
    if known.get("mark") == mark and several is None:
        return Verdict(known["valid"], known["reason"]), dict(known)
    hashed: Dict[str, Any] = {}
    try:
        if several is not None:
            several(path, until, known.get("hashed", {}), hashed)
        else:
            _CHECKS[form](path, until)
    except Unsound as error:
        verdict = Verdict(valid=False, reason=str(error)[:LONGEST_REASON])
    except Irregular:
        verdict = Verdict(valid=False, reason="not a regular file")
    except Untold as error:
        return Verdict(valid=None, reason=str(error)[:LONGEST_REASON]), {"hashed": hashed} if hashed else {}
    except OSError:
        raise
    except MemoryError:
        return Verdict(valid=None, reason="it can't be judged: that needs too much memory"), {}
    except Exception as error:  # noqa: BLE001 -- what one file does to a parser must not hide the others
        what = f"it can't be judged: {type(error).__name__}: {error}"
        return Verdict(valid=None, reason=what[:LONGEST_REASON]), {}
    else:
        verdict = Verdict(valid=True)
    kept = {"mark": mark, "valid": verdict.valid, "reason": verdict.reason}
    return verdict, {**kept, "hashed": hashed} if hashed else kept


def _mark(path: str) -> "list[int]":
    found = os.stat(path)
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns]


def _text(path: str) -> str:
    with reading(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_TEXT:
            raise Untold(f"its {size} bytes are too many to be parsed: {LARGEST_TEXT >> 20} MiB may be")
        content = file.read(LARGEST_TEXT)
    if not content.strip():
        raise Unsound("the file is empty")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unsound(f"not UTF-8 at byte {error.start}") from error


def _json(path: str, until: float) -> None:  # noqa: ARG001 -- the shape of a check
    try:
        json.loads(_text(path), parse_int=float)  # of any number of digits
    except json.JSONDecodeError as error:
        raise Unsound(f"line {error.lineno}, column {error.colno}: {told(error)}") from error
    except RecursionError as error:
        raise Unsound("nested too deeply") from error
    except ValueError as error:
        raise Unsound(str(error)) from error


def _yaml(path: str, until: float) -> None:  # noqa: ARG001 -- the shape of a check
    text = _text(path)
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:  # it is compiled, and does not travel as the other one does
        _ruamel(text)
        return
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for _ in yaml.parse(text, Loader=loader):  # events alone: no alias explodes
            pass
    except yaml.MarkedYAMLError as error:
        raise Unsound(_marked(error)) from error
    except yaml.YAMLError as error:
        raise Unsound(str(error).partition("\n")[0]) from error
    except RecursionError as error:
        raise Unsound("nested too deeply") from error


def _ruamel(text: str) -> None:
    yaml = _package("ruamel.yaml")
    try:
        for _ in yaml.YAML(typ="safe", pure=True).parse(text):
            pass
    except yaml.error.MarkedYAMLError as error:
        raise Unsound(_marked(error)) from error
    except yaml.error.YAMLError as error:
        raise Unsound(str(error).partition("\n")[0]) from error
    except RecursionError as error:
        raise Unsound("nested too deeply") from error


def _marked(error: Any) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{where}{error.problem or error.context}"


def _toml(path: str, until: float) -> None:  # noqa: ARG001 -- the shape of a check
    text = _text(path)
    try:
        toml = importlib.import_module("tomllib")
    except ImportError:  # before Python 3.11
        toml = _package("tomlkit")
    try:
        toml.loads(text)
    except ValueError as error:
        raise Unsound(str(error)) from error
    except RecursionError as error:
        raise Unsound("nested too deeply") from error


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Untold(f"this host's Python has no {name}: install it with `python3 -m pip install {name}`") from error


def _checkpoint(path: str, until: float, known: Mapping[str, Any], judged: Dict[str, Any]) -> None:
    """Judge each file by its suffix, and the weights that an index names; what is known is not read again."""
    names = sorted(_below(path)) if os.path.isdir(path) else [""]
    if not names:
        raise Unsound("the directory is empty")
    late = untold = ""
    if os.path.isdir(path):
        entire(path, names)
    for name in names:
        target = os.path.join(path, name) if name else path
        form = SUFFIXES.get(os.path.splitext(target)[1].lower())
        if form is None or (target.lower().endswith(SHARED) and foreign(target)):
            continue
        if time.monotonic() > until:
            late = late or name
            continue
        before = known.get(name, {})
        verdict, judged[name] = judge(target, form, until, before)
        if verdict.valid is False:
            raise Unsound(f"{name}: {verdict.reason}" if name else verdict.reason)
        if verdict.valid is None:
            untold = untold or (f"{name}: {verdict.reason}" if name else verdict.reason)
            continue
        if name.endswith(".index.json"):
            _shards(target)
    if late:
        raise Untold(f"{len(judged)} of {len(names)} files are read; the next look goes on with {late}")
    if untold:
        raise Untold(untold)
    if not judged:
        raise Untold("no file in it has a format that can be checked")


def _below(path: str) -> Iterator[str]:
    for folder, _, files in os.walk(path):
        for name in files:
            yield os.path.relpath(os.path.join(folder, name), path)


def _shards(index: str) -> None:
    listed = json.loads(_text(index), parse_int=float)
    weights = listed.get("weight_map") if isinstance(listed, dict) else None
    for name in sorted({str(name) for name in weights.values()}) if isinstance(weights, dict) else ():
        if not os.path.isfile(os.path.join(os.path.dirname(index), name)):
            raise Unsound(f"{os.path.basename(index)} names {name}, which is missing")


def _sha256(path: str, until: float, known: Mapping[str, Any], hashed: Dict[str, Any]) -> None:
    folder = os.path.dirname(path)
    listed = dict(_listed(_text(path)))
    late = ""
    for name, digest in listed.items():
        target = os.path.join(folder, name)
        try:
            mark = _mark(target)
            if known.get(name, [None])[0] == mark:
                found: Optional[str] = known[name][1]
            else:
                found = None if late else _digest(target, until)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Unsound(f"{name} is missing") from error
        except Irregular as error:
            raise Unsound(f"{name} is no file") from error
        if found is None:
            late = late or name
            continue
        hashed[name] = [mark, found]
        if found != digest.lower():
            raise Unsound(f"{name} has another checksum")
    if late:
        raise Untold(f"{len(hashed)} of {len(listed)} files are read; the next look goes on with {late}")


def _listed(text: str) -> Iterator[Tuple[str, str]]:
    for number, whole in enumerate(text.split("\n"), 1):  # a name may hold whatever else Unicode takes for an end
        line = whole.lstrip(" \t").rstrip("\r")
        if not line.strip() or line.startswith("#"):
            continue
        found = _LISTED.fullmatch(line) or _BSD_LISTED.fullmatch(line)
        if found is None:
            raise Unsound(f"line {number} is no line of sha256sum")
        if "\0" in line:
            raise Unsound(f"line {number} names a file with a NUL in its name, which no file has")
        name = _ESCAPED.sub(lambda it: {"n": "\n", "r": "\r"}.get(it[1], it[1]), found["name"])
        yield name if line.startswith("\\") else found["name"], found["digest"]


def _digest(path: str, until: float) -> Optional[str]:
    import hashlib

    digest = hashlib.sha256()
    with reading(path) as file:
        while True:
            block = file.read(BLOCK)
            if not block:
                return digest.hexdigest()
            digest.update(block)
            if time.monotonic() > until:
                return None


_CHECKS: Dict[str, Callable[[str, float], None]] = {
    "json": _json,
    "yaml": _yaml,
    "toml": _toml,
    "safetensors": checked_safetensors,
    "zip": checked_zip,
    "torch": checked_torch,
}
_SEVERAL: "Dict[str, Callable[[str, float, Mapping[str, Any], Dict[str, Any]], None]]" = {
    "sha256": _sha256,
    "checkpoint": _checkpoint,
}  # files that stand for several

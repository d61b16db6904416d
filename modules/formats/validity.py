"""Whether a file is sound: JSON, YAML, TOML, safetensors, zip, torch, a sha256 list with its files, a checkpoint."""

import importlib
import json
import os
import re
import struct
import time
from typing import Any, Callable, Dict, Iterator, Literal, Mapping, Optional, Tuple

from runbook.modules.acting.regular_file import Irregular, reading
from runbook.modules.frozen import frozen

Format = Literal["json", "yaml", "toml", "safetensors", "zip", "torch", "sha256", "checkpoint"]
SUFFIXES: "Mapping[str, Format]" = {
    ".json": "json", ".safetensors": "safetensors", ".zip": "zip", ".npz": "zip",
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt"), "torch"),
}  # fmt: skip

LARGEST_TEXT = 64 * 1024 * 1024  # bytes of a text that are parsed
LARGEST_HEADER = 100_000_000  # what the safetensors library itself takes at most
BLOCK = 1024 * 1024

_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
_OLD_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number of torch before 1.6, pickled
_LISTED = re.compile(r"\\?(?P<digest>[0-9a-fA-F]{64}) [ *](?P<name>.+)")
_BSD_LISTED = re.compile(r"SHA256 \((?P<name>.+)\) = (?P<digest>[0-9a-fA-F]{64})")


@frozen
class Verdict:
    """What was found; `valid` is None where it could not be told."""

    valid: Optional[bool]
    reason: str = ""


class Unsound(Exception):
    """The file is not what it should be; the message says where."""


class Untold(Exception):
    """It can't be told here; the message says why."""


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
        verdict = Verdict(valid=False, reason=str(error))
    except Irregular:
        verdict = Verdict(valid=False, reason="not a regular file")
    except Untold as error:
        return Verdict(valid=None, reason=str(error)), {"hashed": hashed} if hashed else {}
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
            raise Untold(f"{size} bytes are too many to be parsed")
        content = file.read(LARGEST_TEXT)
    if not content.strip():
        raise Unsound("the file is empty")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unsound(f"not UTF-8 at byte {error.start}") from error


def _json(path: str, until: float) -> None:  # noqa: ARG001 -- the shape of a check
    try:
        json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise Unsound(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise Unsound("nested too deeply") from error
    except ValueError as error:
        raise Unsound(str(error)) from error


def _yaml(path: str, until: float) -> None:  # noqa: ARG001 -- the shape of a check
    yaml = _package("yaml", "PyYAML")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for _ in yaml.parse(_text(path), Loader=loader):  # events alone: no alias explodes
            pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise Unsound(f"{where}{error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise Unsound(str(error).splitlines()[0]) from error
    except RecursionError as error:
        raise Unsound("nested too deeply") from error


def _toml(path: str, until: float) -> None:  # noqa: ARG001 -- the shape of a check
    try:
        toml = importlib.import_module("tomllib")
    except ImportError:
        toml = _package("tomli", "tomli")
    try:
        toml.loads(_text(path))
    except toml.TOMLDecodeError as error:
        raise Unsound(str(error)) from error
    except RecursionError as error:
        raise Unsound("nested too deeply") from error


def _package(name: str, project: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Untold(f"this host's Python has no {name}: install it with `python3 -m pip install {project}`") from error


def _safetensors(path: str, until: float) -> None:  # noqa: ARG001 -- the shape of a check
    with reading(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        if len(start) < 8:
            raise Unsound(f"{size} bytes are too few for a header")
        length = int(struct.unpack("<Q", start)[0])
        if length > LARGEST_HEADER:
            raise Unsound(f"its header claims {length} bytes: this is no safetensors file")
        if 8 + length > size:
            raise Unsound(f"cut off in its header: {size} of at least {8 + length} bytes")
        raw = file.read(length)
    try:
        header = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Unsound(f"its header is no JSON: {error}") from error
    if not isinstance(header, dict):
        raise Unsound("its header is no mapping")
    tensors = sorted(_tensors(header))
    reached = 0
    for begin, end, name in tensors:
        if begin != reached:
            raise Unsound(f"tensor {name} begins at {begin} and not at {reached}")
        reached = end
    if 8 + length + reached > size:
        raise Unsound(f"cut off: {size} of {8 + length + reached} bytes")
    if 8 + length + reached < size:
        raise Unsound(f"too long: {size} bytes instead of {8 + length + reached}")


def _tensors(header: Dict[str, Any]) -> Iterator[Tuple[int, int, str]]:
    for name, about in header.items():
        if name == "__metadata__":
            continue
        try:
            begin, end = about["data_offsets"]
            numbers = 1
            for extent in about["shape"]:
                numbers *= int(extent)
            expected = numbers * _BYTES[about["dtype"]] if about["dtype"] in _BYTES else end - begin
            sound = 0 <= begin <= end and end - begin == expected
        except (TypeError, KeyError, ValueError) as error:
            raise Unsound(f"the header says nothing useful of tensor {name}") from error
        if not sound:
            raise Unsound(f"tensor {name}: {end - begin} bytes do not fit its shape {about['shape']}")
        yield begin, end, name


def _zip(path: str, until: float) -> None:
    import zipfile
    import zlib

    try:
        with reading(path) as file, zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                with archive.open(entry) as content:  # its checksum is compared when its end is read
                    while content.read(BLOCK):
                        if time.monotonic() > until:
                            return  # the directory at its end is sound, so it is not cut off
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error) as error:
        raise Unsound(str(error) or "cut off") from error
    except (NotImplementedError, RuntimeError) as error:  # encrypted, or a compression that Python lacks
        raise Untold(str(error)) from error


def _torch(path: str, until: float) -> None:
    """What `torch.save` writes: a zip file with a pickle in it; before 1.6 it was pickles one after the other."""
    import zipfile

    with reading(path) as file:
        start = file.read(len(_OLD_TORCH))
        if not start:
            raise Unsound("the file is empty")
        if start.startswith(_OLD_TORCH):
            raise Untold("written by a torch before 1.6: only torch itself can tell")
        if not start.startswith(b"PK"):
            raise Unsound("neither of torch's formats: it may be cut off or overwritten")
    _zip(path, until)
    with reading(path) as file, zipfile.ZipFile(file) as archive:
        if not any(name.endswith("data.pkl") for name in archive.namelist()):
            raise Unsound("a zip file without the data.pkl of a torch file")


def _checkpoint(path: str, until: float, known: Mapping[str, Any], judged: Dict[str, Any]) -> None:
    """Judge each file by its suffix, and the weights that an index names; what is known is not read again."""
    names = sorted(_below(path)) if os.path.isdir(path) else [""]
    if not names:
        raise Unsound("the directory is empty")
    late = ""
    for name in names:
        target = os.path.join(path, name) if name else path
        form = SUFFIXES.get(os.path.splitext(target)[1].lower())
        if form is None:
            continue
        if time.monotonic() > until:
            late = late or name
            continue
        before = known.get(name, {})
        verdict, judged[name] = judge(target, form, until, before)
        if verdict.valid is False:
            raise Unsound(f"{name}: {verdict.reason}" if name else verdict.reason)
        if name.endswith(".index.json"):
            _shards(target)
    if late:
        raise Untold(f"{len(judged)} of {len(names)} files are read; the next look goes on with {late}")
    if not judged:
        raise Untold("no file in it has a format that can be checked")


def _below(path: str) -> Iterator[str]:
    for folder, _, files in os.walk(path):
        for name in files:
            yield os.path.relpath(os.path.join(folder, name), path)


def _shards(index: str) -> None:
    listed = json.loads(_text(index))
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
        except FileNotFoundError as error:
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
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _LISTED.fullmatch(line.strip()) or _BSD_LISTED.fullmatch(line.strip())
        if found is None:
            raise Unsound(f"line {number} is no line of sha256sum")
        yield found["name"], found["digest"]


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
    "safetensors": _safetensors,
    "zip": _zip,
    "torch": _torch,
}
_SEVERAL: "Dict[str, Callable[[str, float, Mapping[str, Any], Dict[str, Any]], None]]" = {
    "sha256": _sha256,
    "checkpoint": _checkpoint,
}  # files that stand for several

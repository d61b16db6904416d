"""A file → a Runbook, or located findings: everything that can be known before a host is asked."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Any

from runbook.engine.errors import RunbookInvalid, UserError
from runbook.engine.language import faults, pooled, schema, source, steps, use
from runbook.engine.language.nearest import nearest
from runbook.engine.language.own import enlist
from runbook.engine.language.validate import validate
from runbook.engine.language.values import Reader
from runbook.engine.model import Finding, Path, Runbook, Secret
from runbook.modules import catalogue
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook.engine.language.source import Source
    from runbook.engine.model import Operation

_WORDS_OF_EXPRESSIONS = {"and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None"}
_OWN_NAMES = {"incident", "host", "secrets", "runbook", "run", "member", "to", "from"}


@frozen
class Examined:
    """A file, as much of a runbook as it holds, and what is wrong with it.

    Attributes:
        source: the text and its positions.
        runbook: None where the file's structure is wrong.
        findings: in the order of the file.
        used: the files that `use` brought in.
    """

    source: Source
    runbook: Runbook | None
    findings: tuple[Finding, ...]
    used: tuple[Source, ...] = ()


def load(path: str | pathlib.Path, *, extra_vars: Mapping[str, Any] | None = None) -> Runbook:
    """Return a file's runbook. `extra_vars` (-e) override its vars.

    Raises:
        RunbookInvalid: it is none; carries every finding.
    """
    examined = examine(path, extra_vars=extra_vars)
    errors = [finding for finding in examined.findings if finding.level == "error"]
    if errors or examined.runbook is None:
        raise RunbookInvalid(errors)
    return examined.runbook


def examine(path: str | pathlib.Path, *, extra_vars: Mapping[str, Any] | None = None) -> Examined:
    """Return what a file holds and everything that is wrong with it; nothing in it raises."""
    read = source.read(path)
    part = _assemble(read, extra_vars or {}, (_resolved(path),), {})
    return Examined(part.source, part.runbook if part.sound else None, part.findings, part.used)


def locate(name: str) -> pathlib.Path:
    """Return the file that a path or a bundled runbook's name means.

    Raises:
        UserError: there is none, or it is a directory.
    """
    path = pathlib.Path(name)
    stem = path.stem if path.suffix in use.SUFFIXES else name
    known = use.bundled() if "/" not in name and "\0" not in name else {}
    try:
        if ("/" in name or path.suffix in use.SUFFIXES or stem not in known) and path.exists():
            if path.is_dir():
                raise UserError("this is a directory, not a runbook", where=name, mend="give a file in it")
            return path
    except (OSError, ValueError) as error:
        raise UserError(f"this can't be a file: {error}", where=name[:80]) from error
    if stem in known:
        return known[stem]
    beside = {file.name for suffix in use.SUFFIXES for file in pathlib.Path().glob(f"*{suffix}")} - {name}
    near = nearest(name, {*use.bundled(), *beside})
    mend = f"did you mean {near}?" if near else f"give a path, or one of the bundled: {', '.join(use.bundled())}"
    raise UserError(f"there is no runbook `{name}`", mend=mend)


def _resolved(path: str | pathlib.Path) -> pathlib.Path:
    try:
        return pathlib.Path(path).resolve()
    except (OSError, ValueError, RuntimeError):
        return pathlib.Path(path)


def _assemble(
    read: Source, over: Mapping[str, Any], trail: tuple[pathlib.Path, ...], library: dict[pathlib.Path, use.Part]
) -> use.Part:
    """Make a part of a source; `over` are vars that override its own, `library` the parts that were made already."""

    def used(path: pathlib.Path) -> use.Part:
        resolved = _resolved(path)
        if resolved not in library:
            library[resolved] = _assemble(source.read(path), {**own, **extra}, (*trail, resolved), library)
        return library[resolved]

    reader = Reader(read)
    modules = enlist.Brought()
    if isinstance(read.data, dict):
        modules = enlist.bring(reader, read.data, str(trail[-1].parent))
    if read.data is not None:
        reader.structure(validate(read.data, schema.core()), told=modules.broken)
    if not isinstance(read.data, dict):
        return use.Part(read, None, _ordered(reader.findings), sound=False)
    data = read.data
    own = {name: reader.template(value, at) for name, value, at in reader.entries(data.get("vars"), ("vars",))}
    _reserved(reader, own)
    extra = _extra(reader, over)
    brought = use.bring(reader, data, trail, used)
    reader.vars = {**brought.vars, **own, **extra}
    _loops(reader, own, extra)
    runbook = _runbook(reader, data, brought)
    return use.Part(
        read,
        runbook,
        (*_ordered(reader.findings), *dict.fromkeys(brought.findings)),
        (*brought.sources.values(), *modules.sources),
        sound=reader.sound and brought.sound,
    )


def _runbook(reader: Reader, data: dict[str, Any], brought: use.Brought) -> Runbook:
    def at(key: str) -> tuple[Any, Path]:
        return reader.get(data, key, ()), (key,)

    pools = {
        **brought.pools,
        **{name: pooled.pool(reader, name, *rest) for name, *rest in reader.entries(*at("pools"))},
    }
    reader.pools = pools  # a `failover` holds the steps of its pool
    recoveries = {
        **brought.recoveries,
        **{name: steps.rungs(reader, item, path) for name, item, path in reader.entries(*at("recoveries"))},
    }
    names = faults.Names(
        detectors=[*_names(data.get("detectors")), *brought.detectors],
        operations=_operation_names(data.get("operations")),
        # A recovery that was found wrong has a name all the same.
        recoveries={**dict.fromkeys(_keys(data.get("recoveries")), ()), **recoveries},
        pools=[*_keys(data.get("pools")), *brought.pools],
    )
    found = [faults.detector(reader, item, path, data, names) for item, path in reader.items(*at("detectors"))]
    operations = [faults.operation(reader, item, path, names) for item, path in reader.items(*at("operations"))]
    runbook = Runbook(
        name=str(at("name")[0] or ""),
        file=reader.source.file,
        description=at("description")[0] or "",
        hosts=",".join(reader.words(*at("hosts"))) or "localhost",
        every=reader.schedule(*at("every")),
        max_unavailable=reader.static(*at("max_unavailable")),
        serial=_batches(reader, *at("serial")),
        max_fail_percentage=reader.percent(*at("max_fail_percentage")),
        become=at("become")[0],
        become_user=reader.static(*at("become_user")),
        fault_tolerance=at("fault_tolerance")[0],
        writable=tuple(reader.template(item, path) for item, path in reader.items(*at("writable"))),
        vars=reader.vars,
        secrets={name: Secret(name, **_secret(item), path=path) for name, item, path in reader.entries(*at("secrets"))},
        operations=_told_apart(item for item in operations if item is not None),
        detectors=faults.inputs((*(item for item in found if item is not None), *brought.detectors.values())),
        recoveries=recoveries,
        pools=pools,
        components={
            **brought.components,
            **{name: pooled.component(reader, item, path) for name, item, path in reader.entries(*at("components"))},
        },
        finally_=steps.calls(reader, *at("finally")),
        use=tuple(name for name, _ in reader.items(*at("use"))),
    )
    pooled.failovers(reader, runbook)
    _components(reader, runbook)
    _twice(reader, data, "detector")
    _twice(reader, data, "operation")
    return runbook


def _batches(reader: Reader, data: Any, path: Path) -> tuple[str | int, ...]:
    """Return the sizes of the batches of hosts."""
    listed = data if isinstance(data, list) else [] if data is None else [data]
    return tuple(reader.static(each, path) for each in listed)


def _components(reader: Reader, runbook: Runbook) -> None:
    """Report detectors that ask for, or are about, a component which no operation feeds, and nothing declares."""
    known = {name for name in runbook.components if name not in runbook.pools}
    known |= {each.component for each in runbook.operations if each.component} | pooled.members(runbook.pools)
    for detector in runbook.detectors:
        wanted = detector.params.get("name") if detector.probe == "component" else detector.component
        if isinstance(wanted, str) and not detector.origin:
            own = reader.source.data["detectors"][detector.path[1]]
            path = (*detector.path, "component") if "component" in own else ("component",)
            steps.name_of(reader, wanted, known, "component", path)


def _secret(data: Any) -> dict[str, str]:
    return {key: data[key] for key in ("env", "file", "keyring") if isinstance(data.get(key), str)}


def _names(items: Any) -> list[str]:
    return [item["name"] for item in _listed(items) if isinstance(item.get("name"), str)]


def _operation_names(items: Any) -> list[str]:
    modules = catalogue.step_names()
    named = (item.get("name") or next((key for key in item if key in modules), None) for item in _listed(items))
    return [name for name in named if isinstance(name, str)]


def _told_apart(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """Number the operations that bear no name of their own and the same module: `command`, `command 2`."""
    found: list[Operation] = []
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    for operation in operations:
        name = operation.name
        while not operation.step.name and name in taken:
            numbers[operation.name] = numbers.get(operation.name, 1) + 1
            name = f"{operation.name} {numbers[operation.name]}"
        taken.add(name)
        found.append(operation if name == operation.name else dataclasses.replace(operation, name=name))
    return tuple(found)


def _listed(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _keys(mapping: Any) -> list[str]:
    return list(mapping) if isinstance(mapping, dict) else []


def _twice(reader: Reader, data: Mapping[str, Any], noun: str) -> None:
    seen: dict[str, int] = {}
    items = data.get(f"{noun}s")
    for number, item in enumerate(items if isinstance(items, list) else ()):
        for name in _names([item]):
            path: Path = (f"{noun}s", number, "name")
            if name in seen:
                first = reader.source.span((f"{noun}s", seen[name])).line
                message = f"a second {noun} is called `{name}`, the first stands in line {first}"
                reader.add("RB015", message, path, "give each a name of its own")
            seen.setdefault(name, number)


def _reserved(reader: Reader, own: Mapping[str, Any]) -> None:
    for name in own:
        if name in _WORDS_OF_EXPRESSIONS | _OWN_NAMES:
            what = "a word of the expressions" if name in _WORDS_OF_EXPRESSIONS else "a name that the engine fills in"
            reader.add("RB006", f"`{name}` is {what}", ("vars", name), f"call it my_{name}", key=True)


def _extra(reader: Reader, over: Mapping[str, Any]) -> dict[str, Any]:
    """Read vars given from outside the file: their findings have no place in it, and name them instead."""
    made = {}
    for name, value in over.items():
        before = len(reader.findings)
        made[name] = reader.template(value, ("-e", name))
        reader.findings[before:] = [
            dataclasses.replace(found, message=f"-e {name}: {found.message}", span=reader.source.stretch(0, 0))
            for found in reader.findings[before:]
        ]
    return made


def _loops(reader: Reader, own: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    """Report vars whose templates need themselves, and cut the loops so that nothing follows them for ever."""
    uses = {name: sorted(_mentioned(value) & set(reader.vars)) for name, value in reader.vars.items()}
    done: set[str] = set()
    broken: set[str] = set()
    for start, needed in uses.items():
        trail: list[tuple[str, list[str]]] = [(start, list(needed))] if start not in done else []
        while trail:
            name, left = trail[-1]
            if not left:
                done.add(name)
                trail.pop()
                continue
            following = left.pop(0)
            on_the_way = [each for each, _ in trail]
            if following in on_the_way:
                around = on_the_way[on_the_way.index(following) :]
                at: Path = ("vars", around[0]) if around[0] in own and around[0] not in extra else ("vars",)
                message = f"template loop: {' → '.join([*around, following])}"
                reader.add("RB010", message, at, "give one of them a value without the other")
                broken.update(around)
            elif following not in done:
                trail.append((following, list(uses[following])))
    reader.vars = {name: "" if name in broken else value for name, value in reader.vars.items()}


def _mentioned(value: Any) -> frozenset[str]:
    if isinstance(value, dict):
        return frozenset().union(*map(_mentioned, value.values()))
    if isinstance(value, list):
        return frozenset().union(*map(_mentioned, value))
    names: frozenset[str] = getattr(value, "names", frozenset())
    return names


def _ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(dict.fromkeys(findings), key=lambda found: (found.span.line, found.span.column, found.code)))

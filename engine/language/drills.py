"""Files of drills (`NAME.drill.yaml`): real faults, the place in which they are injected, what must come of each."""

from __future__ import annotations

import json
import pathlib
import re
from typing import TYPE_CHECKING, Any, Final, cast

from runbook.engine.language import drill_guard, drill_structure, load, source
from runbook.engine.language.drill_parts import Parts
from runbook.engine.language.drill_values import texts
from runbook.engine.language.drill_words import Drill, Fault, Phase
from runbook.engine.language.values import Reader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.language.source import Source
    from runbook.engine.model import Detector, Finding, Path, Runbook

SUFFIXES: Final = (".drill.yaml", ".drill.yml")


def is_drill(name: str) -> bool:
    """Tell a file of faults by its name."""
    return name.endswith(SUFFIXES)


def examine(path: str | pathlib.Path) -> tuple[Drill | None, list[Finding], Source]:
    """Return what a file of faults holds, and everything that is wrong with it; nothing in it raises."""
    read = source.read(path)
    reader = Reader(read)
    if not reader.fits(drill_structure.document(), "faults"):
        return None, reader.findings, read
    drill = _Loader(reader, pathlib.Path(path)).drill()
    reader.findings = list(dict.fromkeys(reader.findings))  # what many faults have in common is told once
    return (None if reader.findings else drill), reader.findings, read


class _Loader:
    def __init__(self, reader: Reader, path: pathlib.Path) -> None:
        self.reader = reader
        self.path = path
        self.data: dict[str, Any] = reader.source.data
        self.variables: frozenset[str] = frozenset()  # the runbook's own
        self.loaded: dict[str, load.Examined] = {}  # with these variables

    def drill(self) -> Drill | None:
        base = Parts(self.reader, self.path.absolute().parent, [(self.data.get("given") or {}, ("given",))])
        plain = self._runbook({}, ())
        if plain is None:
            return None
        self.variables = frozenset(plain.vars)
        runbook = self._runbook(self._vars(base, self.data.get("vars"), ("vars",)), ("vars",)) or plain
        for name in self.data.get("undrilled") or {}:
            names = {one.name for one in plain.detectors}
            base.values.known(name, names, "detector", ("undrilled", name), key=True)
        faults = [self._fault(one, runbook, ("faults", number)) for number, one in enumerate(self.data["faults"])]
        seen: set[str] = set()
        for number, fault in enumerate(faults):
            if fault.name in seen:
                self.reader.add("RB015", f"there are two faults `{fault.name}`", ("faults", number, "name"))
            seen.add(fault.name)
        secrets = {name: f"secret-{name}" for name in plain.secrets}
        for name, value in (self.data.get("secrets") or {}).items():
            base.values.known(name, plain.secrets, "secret", ("secrets", name), key=True)
            secrets[name] = str(base.values.filled(value, ("secrets", name)))
        undrilled = {str(name): str(why) for name, why in (self.data.get("undrilled") or {}).items()}
        return Drill(str(self.path), runbook, secrets, undrilled, tuple(faults))

    def _runbook(self, over: Mapping[str, Any], path: Path) -> Runbook | None:
        """Load the runbook with variables; what lies outside of the scratch place is a finding at the path."""
        own = self.data.get("runbook")
        beside = self.path.absolute().parent / (own or re.sub(r"\.drill(?=\.ya?ml$)", "", self.path.name))
        if not beside.exists():
            hint = "write `runbook: FILE`" if own is None else "give its path from this file's directory"
            self.reader.add("RB013", f"there is no runbook {beside}", ("runbook",) if own else (), hint)
            return None
        known = json.dumps(over, sort_keys=True, default=str)
        if known not in self.loaded:
            self.loaded[known] = load.examine(beside, extra_vars=over)
        examined = self.loaded[known]
        errors = [finding for finding in examined.findings if finding.level == "error"]
        if examined.runbook is None or errors:
            said = f": {errors[0].span}: {errors[0].message}" if errors else ""
            self.reader.add("RB013", f"the runbook does not load{said}", ("runbook",) if own else path, "mend it first")
            return None
        return examined.runbook

    def _vars(self, parts: Parts, given: Mapping[str, Any] | None, path: Path) -> dict[str, Any]:
        for name in given or {}:
            parts.values.known(name, self.variables, "variable", (*path, name), key=True)
        return {name: parts.values.filled(value, (*path, name)) for name, value in (given or {}).items()}

    def _fault(self, given: Mapping[str, Any], base: Runbook, path: Path) -> Fault:
        layers: list[tuple[dict[str, Any], Path]] = [(self.data.get("given") or {}, ("given",))]
        layers.append((given.get("given") or {}, (*path, "given")))
        parts = Parts(self.reader, self.path.absolute().parent, layers)
        runbook = base
        if "given" in given or "vars" in given:
            over = self._vars(parts, self.data.get("vars"), ("vars",))
            over.update(self._vars(parts, given.get("vars"), (*path, "vars")))
            runbook = self._runbook(over, (*path, "vars")) or base
        made = parts.given()
        detector, operation = given.get("detector", ""), given.get("operation", "")
        self._about(parts, runbook, detector, operation, path)
        for told in drill_guard.reaches_out(runbook, dict.fromkeys(runbook.secrets, "")):
            at: Path = (*path, "vars") if "vars" in given else ("vars",) if "vars" in self.data else ()
            self.reader.add("RB011", told.what, at, told.mend)

        def manner(key: str) -> tuple[Any, Path]:
            return (given[key], (*path, key)) if key in given else (self.data.get(key), (key,))

        seen = runbook.detector(detector)
        default: Phase = "before" if runbook.operations else "never"
        if operation or (seen is not None and seen.probe == "error"):
            default = "after"
        return Fault(
            given["name"],
            self.reader.source.span(path).line,
            runbook,
            detector,
            operation,
            parts.injections(given["inject"], (*path, "inject"), made),
            self._expect(given, seen, operation, path),
            self._steps(parts, given, seen, path),
            parts.values.seconds(*manner("within"), 60.0),
            max(0.05, parts.values.seconds(*manner("every"), 0.5)),
            cast("Phase", manner("operations")[0] or default),
            bool(manner("now")[0]),
            bool(given.get("approve")),
            texts(given.get("needs")),
            made,
        )

    def _about(self, parts: Parts, runbook: Runbook, detector: str, operation: str, path: Path) -> None:
        if bool(detector) == bool(operation):
            what = "a fault is about one: a detector, or an operation"
            self.reader.add("RB006", what, path, "write `detector: NAME`, which must see it")
        elif detector:
            parts.values.known(detector, {one.name for one in runbook.detectors}, "detector", (*path, "detector"))
            if detector in (self.data.get("undrilled") or {}):
                self.reader.add(
                    "RB006", f"`{detector}` is called undrilled above", (*path, "detector"), "delete it there"
                )
        else:
            parts.values.known(operation, {one.name for one in runbook.operations}, "operation", (*path, "operation"))

    def _expect(self, given: Mapping[str, Any], detector: Detector | None, operation: str, path: Path) -> str:
        expect = given.get("expect")
        ends = drill_structure.OPERATION_ENDS if operation else drill_structure.INCIDENT_ENDS
        if expect is not None and expect not in ends:
            what = f"{'an operation' if operation else 'an incident'} does not end `{expect}`"
            self.reader.add("RB014", what, (*path, "expect"), f"write one of {', '.join(ends)}")
        if expect is not None:
            return str(expect)
        if operation:
            return "succeeded"
        recovers = detector is not None and (detector.recover or detector.probe == "error")
        return "cured" if recovers else "open"

    def _steps(
        self, parts: Parts, given: Mapping[str, Any], detector: Detector | None, path: Path
    ) -> tuple[str, ...] | None:
        if "steps" not in given:
            return None
        calls = [call for rung in (detector.recover if detector else ()) for call in rung.steps]
        known = {word for call in calls for word in (call.title, call.module)}
        for number, name in enumerate(given["steps"]):
            parts.values.known(name, known, "step of this detector", (*path, "steps", number))
        return tuple(given["steps"])

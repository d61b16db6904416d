"""What a runbook needs of the machine that its watch runs on, by what its probes and steps do there.

This is the one place that says it for each module. Modules of the users' own, and any that are not listed, count as
those that may need everything: a sandbox that is too tight makes a recovery fail when it is needed.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.language import params, taint
from runbook.engine.language.kinds import is_template
from runbook.modules import catalogue
from runbook.modules.declare import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runbook.engine.model import Runbook
    from runbook.modules.declare import Probe, Step


class Need(enum.Enum):
    """What is left open, and why, in the words of the unit's comments."""

    EVERYTHING = "programs of the runbook's own may need anything, and inherit what is set here"
    DRIVER = "the NVIDIA driver wants its devices, its modules and more of the kernel"
    KERNEL_LOG = "the kernel's log is read"
    INSIGHT = "processes of other users are looked into"
    KILL = "processes of other users are signalled"
    WRITE = "files of other users are written, deleted or owned"
    READ = "files of other users are read"
    SOCKETS = "sockets and pipes of other users are used"
    HOME = "settings and keys lie in a home directory"


_NOTHING: Final[frozenset[Need]] = frozenset()
_DAEMON: Final = frozenset({Need.INSIGHT, Need.SOCKETS})  # supervisor, runit and docker listen on sockets of anybody's
_PROBES: Final[Mapping[str, frozenset[Need]]] = {
    **dict.fromkeys(("error", "component", "all", "any", "sequence", "alert"), _NOTHING),  # the engine's own
    **dict.fromkeys(("http", "port", "health"), _NOTHING),
    **dict.fromkeys(("file", "metric", "progress"), frozenset({Need.READ})),
    "command": _NOTHING,  # its program is seen by the kind of its parameter, as everywhere
    "daemon": _DAEMON | {Need.READ},
    "gpu": frozenset({Need.DRIVER}),
    "log": frozenset({Need.READ}),
    "process": frozenset({Need.INSIGHT}),
    "slurm": frozenset({Need.HOME, Need.READ}),  # what jobs wrote
}
_STEPS: Final[Mapping[str, frozenset[Need]]] = {
    **dict.fromkeys(("wait", "wait_for", "notify", "fail", "failover", "reboot"), _NOTHING),  # or by what they hold
    **dict.fromkeys(("http_request", "reconnect", "command", "shell", "build"), _NOTHING),  # likewise
    **dict.fromkeys(("daemon", "restart_daemon", "kill_orphans"), _DAEMON | {Need.KILL, Need.READ}),
    **dict.fromkeys(("gpu_power_limit", "kill_gpu_processes", "reset_gpu"), frozenset({Need.DRIVER, Need.KILL})),
    **dict.fromkeys(("drain_node", "resume_node"), frozenset({Need.HOME})),  # kubectl's ~/.kube
    **dict.fromkeys(("hf_cache", "hf_download"), frozenset({Need.HOME, Need.INSIGHT, Need.WRITE})),  # the Hub's token
    **dict.fromkeys(("clear_cache", "prune_checkpoints"), frozenset({Need.INSIGHT, Need.WRITE})),  # files in use
    **dict.fromkeys(("chown", "edit_config", "restore", "snapshot"), frozenset({Need.WRITE})),
    "collect": frozenset({Need.DRIVER, Need.KERNEL_LOG, Need.READ, Need.WRITE}),  # nvidia-smi, dmesg
    "resubmit": frozenset({Need.EVERYTHING}),  # sbatch becomes the job's owner, and asks their login shell
    "signal": frozenset({Need.INSIGHT, Need.KILL, Need.READ}),
    "verify_files": frozenset({Need.READ}),
}
_PROGRAMS: Final = frozenset({Kind.ARGV, Kind.SCRIPT})  # parameters that are programs of the runbook's own
_TOOLS: Final = frozenset({"build"})  # starts compilers and whatever a build's own files say


def listed(noun: str) -> frozenset[str]:
    """Return the modules of which it is known what they need."""
    return frozenset(_STEPS if noun == "step" else _PROBES)


def of(runbook: Runbook) -> dict[Need, tuple[str, ...]]:
    """Return what a runbook needs where its modules run, and which of them want it."""
    found: dict[Need, dict[str, None]] = {}
    for noun, name, given in _calls(runbook):
        for need in _of_call(noun, name, given):
            found.setdefault(need, {})[name] = None
    return {need: tuple(found[need]) for need in Need if need in found}


def together(each: Iterable[Mapping[Need, tuple[str, ...]]]) -> dict[Need, tuple[str, ...]]:
    """Return what several runbooks of one watch need."""
    found: dict[Need, dict[str, None]] = {}
    for one in each:
        for need, names in one.items():
            found.setdefault(need, {}).update(dict.fromkeys(names))
    return {need: tuple(found[need]) for need in Need if need in found}


def calls(runbook: Runbook) -> Iterator[tuple[str, type[Step | Probe], Mapping[str, Any]]]:
    """Yield every module that a runbook names, with what a person calls the place, and its parameters."""
    for noun, name, given in _calls(runbook):
        yield name, (catalogue.step(name) if noun == "step" else catalogue.probe(name)), given


def _calls(runbook: Runbook) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for detector in runbook.detectors:
        yield from _with_inner("probe", detector.probe, detector.params)
    for call in taint.calls(runbook):
        yield from _with_inner("step", call.module, call.params)


def _with_inner(noun: str, name: str, given: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield a call, and the probes that stand in its parameters (`wait_for`, `until`)."""
    yield noun, name, given
    known = params.fields(catalogue.step(name) if noun == "step" else catalogue.probe(name))
    for key, value in given.items():
        if key in known and known[key].kind is Kind.PROBE and isinstance(value, dict):
            for inner, wanted in value.items():
                if inner in catalogue.probe_names():
                    yield from _with_inner("probe", inner, wanted if isinstance(wanted, dict) else {})


def _of_call(noun: str, name: str, given: Mapping[str, Any]) -> frozenset[Need]:
    cls = catalogue.step(name) if noun == "step" else catalogue.probe(name)
    table = _STEPS if noun == "step" else _PROBES
    if name not in table or name not in catalogue.bundled(noun) or name in _TOOLS:
        return frozenset({Need.EVERYTHING})
    known = params.fields(cls)
    if any(given.get(key) and known[key].kind in _PROGRAMS for key in given if key in known):
        return frozenset({Need.EVERYTHING})
    found = table[name]
    if name == "log" and (given.get("kernel") is True or is_template(given.get("kernel"))):
        found |= {Need.KERNEL_LOG}
    return found

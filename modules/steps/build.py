"""The step `build`."""

import os
from dataclasses import field
from functools import partial
from typing import Any, Dict, List, Literal, Mapping, Optional, Sequence, Tuple

from runbook.modules.acting import tree, walking
from runbook.modules.acting.walking import Found
from runbook.modules.actions import Action, Delete, Do
from runbook.modules.build import record, source, tools, verdict, work
from runbook.modules.build.source import Source
from runbook.modules.build.verdict import Now
from runbook.modules.declare import Argv, Glob, Impact, Invalid, NotYet, Path, Step
from runbook.modules.frozen import frozen
from runbook.modules.host import Host
from runbook.modules.logs import catalogued

_LOGS = ".runbook"
_MOST = 64  # versions of a log


@frozen
class Build(Step):
    """Build software from source, as far as it is not built: everything, what is missing, or nothing; it says which.

    It goes by CMake (with ninja where there is one), make, `pip wheel` or any command. What was built is kept from one
    run to the next, also when the last one was killed in the middle. It is looked at first, since a crash leaves files
    that are newer than their sources and cut off, empty or full of NULs: these go, and the tool makes them again. All
    that was built goes only where it can't be used: the compiler is another, or the source was changed in a way that
    the tool does not see (it goes by times; this step goes by content). Nothing of the source is ever touched.

    The log of each run is kept in `logs`, and of a failure its first real error is told, by the signatures of the
    catalogue. With `register: built`, `built.rebuild` is none, partial or full, `built.why` the reason and `built.log`
    the log.

    Example:
        - build: {path: /opt/vllm, options: [-DCMAKE_BUILD_TYPE=Release], produces: [build/_C.so]}
        - build: {path: /opt/tool, command: [./compile.sh, --release], produces: [out/tool]}
    """

    impact = Impact.LOW
    timeout = 4 * 3600.0
    writes = ("build_dir", "logs")

    path: Path  # the source tree
    tool: Optional[Literal["cmake", "make", "wheel", "command"]] = None  # default by the files of the tree
    command: Argv = ()  # builds it, where none of the tools does; runs in `path`
    build_dir: Optional[Path] = None  # where it is built; default `build` below `path`, for a wheel `dist`, else `path`
    options: Tuple[str, ...] = ()  # given to the tool, such as -DCMAKE_BUILD_TYPE=Release or PREFIX=/opt
    targets: Tuple[str, ...] = ()  # of CMake or make; default what they build by themselves
    env: Mapping[str, str] = field(default_factory=dict)  # added to the environment, such as CUDA_HOME or CFLAGS
    jobs: Optional[int] = None  # compilers at once; default as many as processors and memory (2 GiB each) allow
    produces: Tuple[Glob, ...] = ()  # files, from `path` on, that must be there and whole when it is built
    ignore: Tuple[Glob, ...] = ()  # files below `path` that are no source
    clean: Literal["auto", "always", "never"] = "auto"  # all that was built goes first; auto: if it is no use
    logs: Optional[Path] = None  # a directory for the logs; default `.runbook` in `build_dir`
    keep_logs: int = 5  # logs that are kept
    signatures: Tuple[str, ...] = ("build.*", "pip.*", "disk.full", "fs.perm")  # entries of the catalogue, as in `log`
    _catalogue: Mapping[str, Any] = field(default_factory=dict)  # what the engine knows of `signatures`

    def check(self) -> None:
        """One way to build, and numbers that can be."""
        if self.command and self.tool not in {None, "command"}:
            raise Invalid(f"`command` and `tool: {self.tool}`: give one of them")
        if self.tool == "command" and not self.command:
            raise Invalid("`tool: command` needs a `command`")
        if self.jobs is not None and self.jobs < 1:
            raise Invalid("`jobs` must be 1 or more")
        if not 1 <= self.keep_logs <= _MOST:
            raise Invalid(f"`keep_logs` must be from 1 to {_MOST}")
        for name in self.produces:
            if name.startswith("/") or ".." in name.split("/"):
                raise Invalid(f"`produces: {name}` must be a path from `path` on, without `..`")

    def plan(self, host: Host) -> List[Action]:
        """Compare the source, the toolchain and what is built with what was recorded."""
        root = os.path.abspath(self.path)
        if not os.path.isdir(root):
            raise NotYet(f"the source {root} is not there yet; fetch it first")
        tool = "command" if self.command else self.tool or tools.chosen(root)
        build = os.path.abspath(self.build_dir or tools.directory(tool, root))
        logs = os.path.abspath(self.logs or os.path.join(build, _LOGS))
        for place in (build, logs):
            entry = tree.inside(place, host.writable)
            if not os.path.isdir(entry):
                raise NotYet(f"{entry} is writable and not there yet; make it first")
        before = record.read(logs)
        found = [thing for thing in walking.walk(host, build) if not _beside(os.path.join(build, thing.path), logs)]
        without = [logs, *([build] if build != root else [])]
        seen = source.look(host, root, without, (*self.ignore, *self.produces), before.files if before else {})
        now = self._now(host, tool, build, found, seen, before)
        judged = verdict.judge(before, now, self.clean)
        why = judged.why or "source, toolchain and what was built are as they were"
        host.remember(rebuild=judged.rebuild, why=why, log=os.path.join(logs, work.LOG))
        if judged.rebuild == "none":
            return []
        going = _going(found, judged, now, in_place=build == root)
        job = work.Job(
            root=root,
            build=build,
            logs=logs,
            tool=tool,
            verdict=judged,
            env=dict(self.env),
            arguments=(tuple(self.options), tuple(self.targets), tuple(self.command)),
            jobs=tools.jobs(self.jobs),
            produces=tuple(self.produces),
            keep_logs=self.keep_logs,
            patterns=tuple(catalogued.patterns(self._catalogue)),
            record=record.Record(
                "building",
                host.now(),
                {name: list(each) for name, each in seen.files.items()},
                seen.commit,
                dict(now.tools),
                now.options,
            ),
        )
        deletes: List[Action] = [Delete(build, tuple(thing.entry for thing in going))] if going else []
        return [*deletes, Do(f"build {root} ({judged.rebuild}): {judged.why}", partial(work.carry_out, job))]

    def report(self, host: Host) -> Dict[str, Any]:
        """Say what was built and why."""
        return {name: host.kept.get(name, "") for name in ("rebuild", "why", "log")}

    def _now(
        self,
        host: Host,
        tool: str,
        build: str,
        found: Sequence[Found],
        seen: Source,
        before: Optional[record.Record],
    ) -> Now:
        known = {os.path.join(os.path.abspath(self.path), name) for name in seen.files}
        made, faults = work.made(build, found, known)
        missing, altered = work.products(os.path.abspath(self.path), build, self.produces, before)
        way = tools.TOOLS[tool]
        return Now(
            seen,
            tools.versions(host, tool, self.env, self.command),
            repr((tool, build, self.options, self.targets, self.command, sorted(self.env.items()))),
            made,
            faults,
            missing,
            altered,
            way.tracks,
            way.reconfigures,
        )


def _beside(path: str, directory: str) -> bool:
    """Whether a path is the directory, lies in it, or holds it."""
    return f"{path}/".startswith(f"{directory}/") or f"{directory}/".startswith(f"{path}/")


def _going(found: Sequence[Found], judged: verdict.Verdict, now: Now, *, in_place: bool) -> List[Found]:
    """Return what is deleted first: all that was built, or only what is not whole."""
    if judged.clean and not in_place:
        kept = {above for thing in found if thing.mount for above in _above(thing.path)}
        return [thing for thing in found if thing.path and not thing.mount and thing.path not in kept and _bare(thing)]
    going = set(judged.drop) | (set(now.made) if judged.clean else set())
    if judged.reconfigure:
        going.add("CMakeCache.txt")
    return [thing for thing in found if thing.path in going and thing.file]


def _bare(thing: Found) -> bool:
    """Directories that hold the logs stay, and so does what is no file, link or directory."""
    return thing.path != _LOGS and (thing.file or thing.link or thing.directory)


def _above(path: str) -> List[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]

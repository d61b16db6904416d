"""The build tools: how each is started, what it goes by, and what tells its version."""

import os
import re
import sys
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from runbook.modules.declare import Failed, Unclear
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

_MEMORY = 2 << 30  # bytes that a compiler may take, and nvcc does
_COMPILERS = (("CC", "cc"), ("CXX", "c++"), ("CUDACXX", "nvcc"))
_GENERATOR = re.compile(r"^CMAKE_GENERATOR:INTERNAL=(.*)$", re.MULTILINE)
_VERSION_LINE = re.compile(r"(?m)^.*\d+\.\d+.*$")
NAMES = ("cmake", "make", "wheel", "command")


@frozen
class Tool:
    """One way to build."""

    name: str
    tracks: bool  # it sees by times what changed
    reconfigures: bool  # it takes other options without a new beginning
    programs: Tuple[str, ...]  # besides the compilers


TOOLS: Mapping[str, Tool] = {
    "cmake": Tool("cmake", tracks=True, reconfigures=True, programs=("cmake", "ninja", "make")),
    "make": Tool("make", tracks=True, reconfigures=False, programs=("make",)),
    "wheel": Tool("wheel", tracks=False, reconfigures=False, programs=("cmake", "ninja")),
    "command": Tool("command", tracks=False, reconfigures=False, programs=()),
}


def chosen(root: str) -> str:
    """Return the tool that a source tree is for.

    Raises:
        Failed: none is.
    """
    for name, files in (
        ("cmake", ("CMakeLists.txt",)),
        ("wheel", ("pyproject.toml", "setup.py")),
        ("make", ("GNUmakefile", "makefile", "Makefile")),
    ):
        if any(os.path.isfile(os.path.join(root, file)) for file in files):
            if name == "cmake" and os.path.isfile(os.path.join(root, "setup.py")):
                continue  # a Python package with an extension: its own build calls CMake
            return name
    raise Failed(f"{root} holds no CMakeLists.txt, pyproject.toml, setup.py or Makefile; say `command: …`")


def directory(tool: str, root: str) -> str:
    """Return where a tool builds, when nobody says otherwise."""
    return os.path.join(root, {"cmake": "build", "wheel": "dist"}.get(tool, "")).rstrip("/")


def versions(host: Host, tool: str, env: Mapping[str, str], command: Sequence[str]) -> Dict[str, str]:
    """Return what the tool and the compilers say of their versions, by program."""
    programs = [env.get(name, host.env.get(name, program)).split(" ")[0] for name, program in _COMPILERS]
    asked = [*TOOLS[tool].programs, *programs, *([command[0]] if command else [])]
    found: Dict[str, str] = {"python": sys.version.split()[0]} if tool == "wheel" else {}
    for program in dict.fromkeys(asked):
        place = host.which(program)
        if place is None:
            continue
        if command and program == command[0]:
            found[program] = _file(place)
            continue
        try:
            said = host.run(place, "--version", timeout=20.0)
        except Unclear:
            continue
        line = _VERSION_LINE.search(said.stdout or said.stderr)
        found[program] = line[0].strip()[:200] if line else ""
    return found


def jobs(asked: Optional[int]) -> int:
    """Return how many compilers may run at once: as many as there are processors, if they have memory enough."""
    if asked is not None:
        return asked
    processors = len(os.sched_getaffinity(0))
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return processors
    return max(1, min(processors, free // _MEMORY))


def commands(
    tool: str, root: str, build: str, options: Sequence[str], targets: Sequence[str], command: Sequence[str], many: int
) -> List[Tuple[str, ...]]:
    """Return what is to be run, one after the other."""
    if tool == "cmake":
        generator = [] if any(each.startswith("-G") for each in options) or _generated(build) else _ninja()
        wanted = [word for each in targets for word in ("--target", each)]
        return [
            ("cmake", "-S", root, "-B", build, *generator, *options),
            ("cmake", "--build", build, "--parallel", str(many), *wanted),
        ]
    if tool == "make":
        return [("make", "-C", root, f"-j{many}", *options, *targets)]
    if tool == "wheel":
        return [(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", build, *options, root)]
    return [(*command, *options, *targets)]


def environment(tool: str, given: Mapping[str, str], many: int) -> Dict[str, str]:
    """Return what the tools are told by their environment; messages in English, as signatures know them."""
    more = {"LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
    if tool == "wheel":
        more.update(PIP_NO_INPUT="1", PIP_DISABLE_PIP_VERSION_CHECK="1", CMAKE_BUILD_PARALLEL_LEVEL=str(many))
        more["MAX_JOBS"] = str(many)
    return {**more, **given}


def _generated(build: str) -> bool:
    """Whether CMake has chosen a generator there already."""
    try:
        with open(os.path.join(build, "CMakeCache.txt"), encoding="utf-8", errors="replace") as file:
            return _GENERATOR.search(file.read()) is not None
    except OSError:
        return False


def _ninja() -> List[str]:
    import shutil

    return ["-G", "Ninja"] if shutil.which("ninja") else []


def _file(place: str) -> str:
    """Tell one version of a program from another where it may not be asked."""
    try:
        seen = os.stat(place)
    except OSError:
        return place
    return f"{os.path.realpath(place)} of {seen.st_size} bytes, {int(seen.st_mtime)}"

"""Code that travels beside the agent's own: packages that a module needs, and users' modules.

Each is a directory that is named after the hash of its content.
A request names the layers that it needs, and the agent asks the controller for those that it lacks. Only the children
that look or act for such a request import from them; the agent itself never does.
"""

import contextlib
import importlib
import os
import sys
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from runbook.modules import needs
from runbook.modules.bootstrap import PARTS, Unusable, private, unpack

OWN = "runbook_modules"  # under this name users' modules are imported
_CODE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # of the agent
_entered: Dict[str, str] = {}  # by what is imported from it, the layer that this process uses


def lacking(message: Mapping[str, Any]) -> List[str]:
    """Return the layers of a request that are not here; those that are will not be tidied away for a while."""
    found = []
    for digest in message.get("layers", ()):
        if digest in PARTS:
            continue  # no layer: `rest.py` knows of it
        try:
            os.utime(_place(digest))
        except OSError:
            found.append(str(digest))
    return found


def take(digest: str, body: str) -> None:
    """Keep a layer that the controller sent.

    Raises:
        Unusable: it did not arrive whole, or there is no room for it.
    """
    import base64

    place = _place(digest)
    if not os.path.isdir(place):
        unpack(base64.b64decode(body), digest, place)


def enter(code: Mapping[str, Any]) -> List[Tuple[str, str]]:
    """Make a request's layers importable in this process, before what the host has of the same name.

    Returns:
        Those that are left out, since they ask for a newer Python: whose they are, and what they ask for.

    Raises:
        Unusable: others can write in one of them.
    """
    newer = []
    for layer in code.get("layers", ()):
        least = str(layer.get("python", ""))
        unfit = _unfit(layer) if layer.get("machine") else ""
        if unfit:
            needs.UNFIT[str(layer.get("of", ""))] = unfit
        elif least and tuple(map(int, least.split("."))) > sys.version_info[: least.count(".") + 1]:
            newer.append((str(layer.get("of", "")), least))
        else:
            _put(str(layer["hash"]), str(layer.get("of", "")))
    return newer


def _unfit(layer: Mapping[str, Any]) -> str:
    """Say why the compiled code of a layer can't be used here; empty where it can."""
    named = f"the controller's {layer['of']}"
    libc = needs.libc()
    machine = os.uname().machine if sys.maxsize > 1 << 32 else "a 32-bit Python"
    kind, _, version = libc.partition(" ")
    wanted, _, oldest = str(layer["libc"]).partition(" ")
    if machine != layer["machine"] or kind != wanted or _number(version) < _number(oldest):
        return f"{named} is for {layer['machine']} with {layer['libc']}, and this is {machine} with {libc}"
    if sys.implementation.name != "cpython" or "t" in getattr(sys, "abiflags", ""):
        return f"{named} is for the usual CPython, and this is {sys.implementation.name} {sys.version.split()[0]}"
    if os.statvfs(os.path.dirname(_CODE)).f_flag & os.ST_NOEXEC:
        return f"{named} can't be loaded from {os.path.dirname(_CODE)}, whose file system is mounted noexec"
    return ""


def _number(version: str) -> List[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def load(code: Mapping[str, Any]) -> type:
    """Return the class of a user's module, whose layers were entered.

    Raises:
        Exception: whatever the module raises when it is imported.
    """
    module = importlib.import_module(code["module"])
    loaded: type = getattr(module, code["class"])
    return loaded


def file(code: Optional[Mapping[str, Any]]) -> str:
    """Return the file of a user's module, such as `runbook_modules/steps/flag.py`; empty for a bundled one."""
    module = str((code or {}).get("module", ""))
    return module and f"{module.replace('.', '/')}.py"


def own_place(problem: BaseException) -> str:
    """Say where in a user's module an exception came about, such as `runbook_modules/steps/flag.py:12 in plan`."""
    return next(_own_frames(problem), "")


def _own_frames(problem: BaseException) -> Iterator[str]:
    base = os.path.dirname(_CODE) + os.sep
    if isinstance(problem, SyntaxError) and problem.filename and problem.filename.startswith(base):
        yield f"{_short(problem.filename, base)}:{problem.lineno}"
    found: List[str] = []
    trace = problem.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename.startswith(base) and not code.co_filename.startswith(_CODE + os.sep):
            inside = "" if code.co_name.startswith("<") else f" in {code.co_name}"
            found.append(f"{_short(code.co_filename, base)}:{trace.tb_lineno}{inside}")
        trace = trace.tb_next
    own = [each for each in found if each.startswith(OWN)]
    yield from reversed(own or found)


def _short(path: str, base: str) -> str:
    return path[len(base) :].partition(os.sep)[2]


def _place(digest: str) -> str:
    if not str(digest).isalnum():
        raise Unusable(f"no layer can be called {digest!r}")
    return os.path.join(os.path.dirname(_CODE), digest)


def _put(digest: str, of: str) -> None:
    place = _place(digest)
    if _entered.get(of) == place:
        return
    private(place)
    before: Optional[str] = _entered.get(of)
    if before is not None:  # a newer version, in a worker that knew the older
        with contextlib.suppress(ValueError):
            sys.path.remove(before)
        for name, module in list(sys.modules.items()):
            file = str(getattr(module, "__file__", None) or "")
            if file.startswith(before + os.sep) or (name + ".").startswith(of + "."):
                del sys.modules[name]
    _entered[of] = place
    ours = ("site-packages", "dist-packages")
    at = next((number for number, path in enumerate(sys.path) if path.endswith(ours)), len(sys.path))
    sys.path.insert(at, place)
    importlib.invalidate_caches()

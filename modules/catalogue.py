"""Which modules there are, and the class behind a name; a module's file bears its name.

Users' modules stand beside the bundled ones. The controller enlists what it has read of them; a host gets their code
with the request that needs it, and never looks here for them.
"""

import importlib
import os
from functools import cache
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Type

from runbook.modules.declare import Probe, Step
from runbook.modules.frozen import frozen


@frozen
class Own:
    """A user's module, as the controller knows it without having run it."""

    cls: Any  # the class with its parameters and what it says of itself; not with what it does
    module: str  # what the host imports
    file: str  # where it stands
    root: str  # the package that travels
    files: Callable[[], Mapping[str, bytes]]  # that package's files


_own: Dict[Tuple[str, str], Own] = {}
_generation: List[int] = [0]


def enlist(noun: str, name: str, own: Own) -> None:
    """Make a user's module known; a bundled one of its name is not replaced."""
    if name not in _bundled(f"{noun}s"):
        _own[noun, name] = own
        _generation[0] += 1


def dismiss() -> None:
    """Forget users' modules."""
    if _own:
        _own.clear()
        _generation[0] += 1


def generation() -> int:
    """Return a number that changes with the users' modules, for who keeps what is made of them."""
    return _generation[0]


def own(noun: str, name: str) -> Optional[Own]:
    """Return a user's module, or None where there is none of that name."""
    return _own.get((noun, name))


def step_names() -> List[str]:
    """Return the names of all steps, sorted."""
    return _names("step")


def probe_names() -> List[str]:
    """Return the names of all probes, sorted."""
    return _names("probe")


def bundled(noun: str) -> List[str]:
    """Return the names of the steps or probes that are not users', sorted."""
    return _bundled(f"{noun}s")


def step(name: str) -> Type[Step]:
    """Return a step's class.

    Raises:
        KeyError: there is none of that name.
    """
    mine = _own.get(("step", name))
    found: Type[Step] = mine.cls if mine is not None else _load("steps", name)
    return found


def probe(name: str) -> Type[Probe]:
    """Return a probe's class.

    Raises:
        KeyError: there is none of that name.
    """
    mine = _own.get(("probe", name))
    found: Type[Probe] = mine.cls if mine is not None else _load("probes", name)
    return found


def _names(noun: str) -> List[str]:
    names = _bundled(f"{noun}s")
    return sorted({*names, *(name for kind, name in _own if kind == noun)}) if _own else names


@cache
def _bundled(folder: str) -> List[str]:
    package = importlib.import_module(f"{__package__}.{folder}")
    loader = package.__spec__.loader if package.__spec__ is not None else None
    bundled: Optional[Callable[[str], List[str]]] = getattr(loader, "names", None)
    if bundled is not None:  # on a host that keeps our bytecode in one file
        return sorted(bundled(package.__name__))
    files = os.listdir(package.__path__[0])
    return sorted(name[:-3] for name in files if name.endswith(".py") and name != "__init__.py")


@cache
def _load(folder: str, name: str) -> type:
    if name not in _bundled(folder):
        raise KeyError(name)
    module = importlib.import_module(f"{__package__}.{folder}.{name}")
    loaded: type = getattr(module, "".join(part.capitalize() for part in name.split("_")))
    return loaded

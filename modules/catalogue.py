"""Which modules there are, and the class behind a name; a module's file bears its name."""

import importlib
import pkgutil
from functools import cache
from typing import List, Type

from runbook.modules.declare import Probe, Step


@cache
def step_names() -> List[str]:
    """Return the names of all steps, sorted."""
    return _names("steps")


@cache
def probe_names() -> List[str]:
    """Return the names of all probes, sorted."""
    return _names("probes")


@cache
def step(name: str) -> Type[Step]:
    """Return a step's class.

    Raises:
        KeyError: there is none of that name.
    """
    if name not in step_names():
        raise KeyError(name)
    found: Type[Step] = _load("steps", name)
    return found


@cache
def probe(name: str) -> Type[Probe]:
    """Return a probe's class.

    Raises:
        KeyError: there is none of that name.
    """
    if name not in probe_names():
        raise KeyError(name)
    found: Type[Probe] = _load("probes", name)
    return found


def _names(folder: str) -> List[str]:
    package = importlib.import_module(f"{__package__}.{folder}")
    return sorted(found.name for found in pkgutil.iter_modules(package.__path__))


def _load(folder: str, name: str) -> type:
    module = importlib.import_module(f"{__package__}.{folder}.{name}")
    loaded: type = getattr(module, "".join(part.capitalize() for part in name.split("_")))
    return loaded

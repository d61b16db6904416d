"""Modules that need code of their own on the host: users' modules, and those whose packages travel."""

from typing import Any, List, Mapping, Sequence, Tuple, Type, TypeVar

from runbook.modules import catalogue, layers, needs
from runbook.modules.bootstrap import Unusable
from runbook.modules.declare import Probe, Refused, Step, Unclear

Newer = Sequence[Tuple[str, str]]
Module = TypeVar("Module", Step, Probe)


def step(name: str, code: Mapping[str, Any]) -> Tuple[Type[Step], Newer]:
    """Return a step's class with its code within reach.

    Raises:
        Refused: it can't be had; the message says why.
    """
    return _found("step", Step, name, code, Refused)


def probe(name: str, code: Mapping[str, Any]) -> Tuple[Type[Probe], Newer]:
    """Return a probe's class with its code within reach.

    Raises:
        Unclear: it can't be had; the message says why.
    """
    return _found("probe", Probe, name, code, Unclear)


def _found(
    noun: str, base: Type[Module], name: str, code: Mapping[str, Any], wrong: Type[Exception]
) -> Tuple[Type[Module], Newer]:
    newer, problem = _entered(code)
    if problem:
        raise wrong(problem)
    try:
        loaded: Any = layers.load(code) if "module" in code else getattr(catalogue, noun)(name)
    except Exception as error:
        raise wrong(_said(name, error)) from error
    if not (isinstance(loaded, type) and issubclass(loaded, base)):
        kind = f"{code['class']} in {code['module']} is no subclass of {base.__name__}"
        raise wrong(f"the {noun} `{name}` is no {noun}: {kind}")
    return loaded, newer


def _entered(code: Mapping[str, Any]) -> Tuple[List[Tuple[str, str]], str]:
    try:
        return layers.enter(code), ""
    except (Unusable, OSError) as error:
        return [], str(error)


def _said(name: str, error: Exception) -> str:
    """Say why a module can't be imported, and where in it."""
    import platform

    place = layers.own_place(error)
    at = f" ({place})" if place else ""
    here = f"under Python {platform.python_version()}"
    if isinstance(error, SyntaxError):
        return f"`{name}` can't be read {here}: {error.msg}{at}"
    if needs.unfit(error):
        return f"`{name}` can't be imported: {error}{at}; {needs.unfit(error)}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return (
            f"`{name}` imports {error.name}, which is not here{at}; name its distribution in `needs`, and import it "
            "where it is used"
        )
    if isinstance(error, KeyError):
        return f"this host's agent knows no module {error}"
    return f"`{name}` can't be imported {here}: {type(error).__name__}: {error}{at}"

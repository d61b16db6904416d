"""What a request tells the agent of a module's code: the layers that it needs, and what to import of a user's."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from runbook.engine.fleet import pack
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook.engine.fleet.layers import Layer


def of(noun: Literal["step", "probe"], name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands in a request about a module; empty for those that the agent has with all they need.

    Args:
        noun: what it is.
        name: its name.
        params: what it is called with; few calls of some modules need a package.
    """
    own = catalogue.own(noun, name)
    if own is None:
        needed = _needs(noun, name, params)
        return _standing(needed) if needed else {}
    from runbook.engine.fleet import packages

    found = [_layer(own, catalogue.generation()).named()]
    found += [layer.named() for layer in packages.travelling(own.cls.needs)]
    psutil = packages.psutil() if any(b"psutil" in body for body in own.files().values()) else None
    found += [] if psutil is None else [psutil.named()]
    return {"code": {"layers": found, "module": own.module, "class": own.cls.__name__}}


def layers(requests: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what tells an agent which layers these requests need together; empty for none."""
    asked = list(requests)
    wanted = {layer["hash"] for each in asked for layer in each.get("code", {}).get("layers", ())}
    if any(each.get("python") for each in asked):
        wanted.add(_source(pack.digest()))
    return {"layers": sorted(wanted)} if wanted else {}


@cache
def _standing(needed: tuple[str, ...]) -> dict[str, Any]:
    """Return what stands in a request about a module that comes with the agent."""
    from runbook.engine.fleet import packages

    found = [layer.named() for layer in packages.travelling(needed)]
    return {"code": {"layers": found}} if found else {}


@cache
def _source(_digest: str) -> str:
    """Return the layer of the agent's own source, for another Python than the one that has its bytecode."""
    from runbook.engine.fleet.layers import layer

    return layer(pack.contents(), "runbook").digest


@cache
def _layer(own: catalogue.Own, _generation: int) -> Layer:
    from runbook.engine.fleet.layers import layer

    return layer(own.files(), own.root)


def _needs(noun: str, name: str, params: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a call of a bundled module needs; all that the module may need, where that can't be told yet."""
    try:
        cls: Any = catalogue.step(name) if noun == "step" else catalogue.probe(name)
    except KeyError:
        return ()  # the host says so
    if not cls.needs:
        return ()
    called = object.__new__(cls)  # not checked: that is for the host
    called.__dict__.update(params)
    try:
        return tuple(called.needed())
    except Exception:  # noqa: BLE001 -- what is wrong with the call is for the host to say
        return tuple(cls.needs)

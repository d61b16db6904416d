"""What a request tells the agent of a module's code: the layers that it needs, and what to import of a user's."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from runbook.engine.fleet import pack
from runbook.modules import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook.engine.fleet.layers import Layer


def of(noun: Literal["step", "probe"], name: str) -> dict[str, Any]:
    """Return what stands in a request about a module; empty for those that the agent has with all they need."""
    own = catalogue.own(noun, name)
    if own is None:
        return _standing(noun, name)
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
def _standing(noun: Literal["step", "probe"], name: str) -> dict[str, Any]:
    """Return what stands in a request about a module that comes with the agent."""
    known = catalogue.step_names() if noun == "step" else catalogue.probe_names()
    needed = _needs(noun, name) if name in known else ()
    if not needed:
        return {}
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


def _needs(noun: str, name: str) -> tuple[str, ...]:
    return catalogue.step(name).needs if noun == "step" else catalogue.probe(name).needs

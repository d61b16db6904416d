"""How looks are asked for in few words: what an agent was asked, and has answered, need not be said to it again."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from runbook.engine.fleet import messages
from runbook.modules import catalogue, states

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runbook.engine.fleet.messages import Spec

_UNTOLD: tuple[int, Any] = (0, None)


class Asking:
    """What the agent of one connection knows of what it was asked, and of the states that it told."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[int, Any]] = {}  # by look, the state that it answered last, and in which request
        self._least: dict[str, int] = {}  # by look, the first request whose state the agent still has (`States.fill`)
        self._forms: dict[tuple[str, ...], tuple[int, Any]] = {}  # by looks, the last request that had them in whole
        self._wholes: deque[int] = deque(maxlen=states.FORMS)  # the last of those: the agent keeps some more

    def request(self, asked: Sequence[Spec], now: int) -> dict[str, Any]:
        """Return the request for some looks that is to go out under a number."""
        return self._again(asked, now) or self._whole(asked, now)

    def answered(self, seq: int, looks: Iterable[Mapping[str, Any]]) -> None:
        """Take in what the answer to a request brings."""
        for look in looks:
            least = self._least.get(look["id"], 0)
            if look["status"] == "seen" and look["state"]:
                if seq >= least:
                    self._told[look["id"]] = seq, look["state"]
            elif seq == least:  # there is nothing to be named
                del self._least[look["id"]]

    def _again(self, asked: Sequence[Spec], now: int) -> dict[str, Any] | None:
        """Return the request that names an earlier one with the same looks; None where none can be named.

        Their states have to be those that came in the answer to one request.
        """
        names = tuple([spec.id for spec in asked])
        seq, form = self._forms.get(names, _UNTOLD)
        if seq not in self._wholes or form != _form(asked):
            return None
        since, bare = 0, []
        for number, spec in enumerate(asked):
            of, state = self._told.get(spec.id, _UNTOLD)
            if (state or {}) != spec.state or (since and of and of != since):
                return None
            since = since or of
            if not of:
                bare.append(number)
        for spec in asked:
            self._least[spec.id] = since if spec.state else now
        return {"op": "probe", states.FORM: seq, states.OF: since, states.BARE: bare}

    def _whole(self, asked: Sequence[Spec], now: int) -> dict[str, Any]:
        """Return the request in which each look is told of, so that a later one may name it."""
        names = tuple([spec.id for spec in asked])
        if len(self._wholes) == self._wholes.maxlen:
            self._forms = {each: known for each, known in self._forms.items() if known[0] in self._wholes}
        self._wholes.append(now)
        self._forms[names] = now, _form(asked)
        request = messages.whole(asked)
        return {**request, "specs": [self._brief(spec, now) for spec in request["specs"]]}

    def _brief(self, spec: Mapping[str, Any], now: int) -> Mapping[str, Any]:
        """Return a spec without the state that the agent itself told last."""
        name = str(spec["id"])
        seq, state = self._told.get(name, (0, None))
        if not state or state != spec.get("state"):
            self._told.pop(name, None)
            self._least[name] = now
            return spec
        self._least[name] = seq
        return {**{name: value for name, value in spec.items() if name != "state"}, states.OF: seq}


def _form(asked: Sequence[Spec]) -> Any:
    """Return what requests for the same looks have in common."""
    looks = [(spec.probe, spec.params, spec.deadline, spec.python, spec.listen) for spec in asked]
    return catalogue.generation(), looks

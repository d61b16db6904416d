"""What probes remembered, kept by the agent from one look to the next, so that it need not travel when it is the same.

The controller holds the truth, in its journal; here lies a copy of what it was told last on this connection. It names a
state by the request whose answer brought it.
"""

from typing import Any, Dict, List, Mapping, MutableMapping, Sequence, Union

from runbook.modules.wire import Raw

FORM = "form"  # in a request to look, in place of its specs: the request whose specs they are, but for their states
BARE = "bare"  # beside it: which of the looks, by their numbers, are given no state
FORMS = 4  # requests whose specs may be named: the last ones that brought any
OF = "state_of"  # in a spec, in place of `state`: the request
SAME = "same"  # in an answer, in place of `state`: it is what the look was given


class Forms:
    """What the last requests asked for, so that the same need not be said in each round."""

    def __init__(self) -> None:
        self._known: Dict[Any, List[Dict[str, Any]]] = {}

    def whole(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Return a request to look with its specs; remember those that it brings.

        Raises:
            ValueError: it names a request that is not known.
        """
        if FORM not in request:
            self._known.pop(request.get("seq"), None)
            self._known[request.get("seq")] = [dict(spec) for spec in request["specs"]]
            for older in list(self._known)[: -2 * FORMS]:  # more than may be named: some wait until their code is here
                del self._known[older]
            return request
        known = self._known.get(request[FORM])
        if known is None:
            raise ValueError(f"nothing is known of request {request[FORM]}")
        specs = [{**spec, "state": {}, OF: request[OF]} for spec in known]
        for number in request[BARE]:
            del specs[number][OF]
        return {"op": "probe", "seq": request.get("seq"), "specs": specs, FORM: request[FORM]}


class States:
    """The states of one connection: of each detector the one it was asked about last, and those since."""

    def __init__(self) -> None:
        self._known: Dict[str, Dict[Any, Any]] = {}

    def fill(self, specs: Sequence[MutableMapping[str, Any]]) -> None:
        """Put the states into specs that only name them.

        Raises:
            ValueError: one is not known.
        """
        for spec in specs:
            named = spec.pop(OF, None)
            if named is None:
                self._known.pop(str(spec.get("id")), None)
                continue
            known = self._known.get(str(spec.get("id")), {})
            if named not in known:
                raise ValueError(f"nothing is known of request {named}")
            spec["state"] = known[named]
            for older in [seq for seq in known if seq < named]:
                del known[older]

    def take(
        self, seq: Any, specs: Sequence[Mapping[str, Any]], looks: Sequence[Union[Raw, Mapping[str, Any], None]]
    ) -> None:
        """Keep what an answer brings."""
        for spec, look in zip(specs, looks):
            state: Any = None
            if isinstance(look, Raw):
                state = spec.get("state") if look.state is None else look.state
            elif look is not None and look.get("status") == "seen":
                state = spec.get("state") if look.get(SAME) else look.get("state")
            if state and state != b"{}":  # many looks remember nothing, and are asked for once
                self._known.setdefault(str(spec.get("id")), {})[seq] = state

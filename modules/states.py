"""What probes remembered, kept by the agent from one look to the next, so that it need not travel when it is the same.

The controller holds the truth, in its journal; here lies a copy of what it was told last on this connection. It names a
state by the request whose answer brought it.
"""

from typing import Any, Dict, Mapping, MutableMapping, Optional, Sequence

OF = "state_of"  # in a spec, in place of `state`: the request
SAME = "same"  # in an answer, in place of `state`: it is what the look was given


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

    def take(self, seq: Any, specs: Sequence[Mapping[str, Any]], looks: Sequence[Optional[Mapping[str, Any]]]) -> None:
        """Keep what an answer brings."""
        for spec, look in zip(specs, looks):
            if look is not None and look.get("status") == "seen":
                state = spec.get("state") if look.get(SAME) else look.get("state")
                if state:  # many looks remember nothing, and are asked for once
                    self._known.setdefault(str(spec.get("id")), {})[seq] = state

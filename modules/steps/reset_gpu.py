"""The step `reset_gpu`."""

from typing import Any, Dict, List, Mapping, Optional, Sequence

from runbook.modules.acting import perform_process
from runbook.modules.acting.hands import Hands
from runbook.modules.actions import Action, Do, Run, Signal, Until
from runbook.modules.cards import subject, users
from runbook.modules.cards.subject import called
from runbook.modules.daemons.processes import pattern
from runbook.modules.declare import Absent, Duration, Failed, Impact, Refused, Regex, Step, Unclear
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

Reading = Mapping[str, Any]
_REBOOT = {"NODE_REBOOT", "BUS_RESET", "SYSTEM_REBOOT"}
_OTHERS = {
    "DRAIN_P2P": "end what speaks with it over NVLink or PCI, and look again",
    "RECOVER_IMEX_DOMAIN": "its IMEX domain must be recovered, which is more than this host",
    "UNKNOWN": "it asks for something that this version does not know; see `nvidia-smi -q`",
}
_IDLE = 30.0  # seconds for the driver to let go of what ended
_BACK = 60.0  # seconds for a card to answer after its reset


@frozen
class ResetGpu(Step):
    """Reset a GPU by `nvidia-smi`, after what computes on it was ended: TERM, then KILL.

    The driver's own verdict decides: where it asks for nothing, and no row waits to be remapped and no memory error is
    counted, there is nothing to do; where it asks for a reboot, the step refuses and says so. Drivers before r570 give
    no verdict, and the card is reset. Refused as well: a card in MIG mode, one that a display runs on, one with a
    user that may not be ended, and one whose NVLink neighbour, which is reset along with it, is in use. Services that
    hold a card open (nvidia-dcgm, nvidia-persistenced) must be stopped before; the error names them.

    Example:
        - reset_gpu: {}
        - reset_gpu: {gpu: all, match: 'python', grace: 30s}
    """

    impact = Impact.DESTRUCTIVE
    on_subject = True
    timeout = 600.0

    gpu: Optional[str] = None  # its number, UUID or PCI address, or `all` that ask for it; without, the incident's
    match: Optional[Regex] = None  # which command lines may be ended; with another user of the card it refuses
    grace: Duration = 10.0  # time to end by themselves before KILL
    peers: bool = False  # end what computes on the cards at the other ends of its NVLinks, too
    force: bool = False  # whatever the driver asks for; its current work is not awaited

    def plan(self, host: Host) -> List[Action]:
        """Ask the driver what it wants, and who is in the way."""
        readings = subject.chosen(host, self.gpu)
        wanted = readings if self.force else [one for one in readings if _asks(one)]
        if not wanted:
            return []
        if host.which("nvidia-smi") is None:
            raise Failed("nvidia-smi is not on the PATH; it comes with the driver's utilities (nvidia-utils)")
        together = self._together(host, wanted)
        for one in together:
            self._resettable(one)
        match = None if self.match is None else pattern(self.match)
        doomed = users.doomed(host, together, match, every=True)
        if doomed and not self.force:
            _patient(wanted)
        uuids = [str(one["uuid"]) for one in together]
        named = ", ".join(called(one) for one in together)
        ending: List[Action] = [
            Signal(tuple(doomed), grace=self.grace),
            Until(f"nothing computes on {named}", lambda: not _users(host, uuids), within=_IDLE),
        ]
        return [
            *(ending if doomed else []),
            Do(f"reset {named}: nvidia-smi --gpu-reset -i {','.join(uuids)}", lambda hands: _reset(hands, together)),
            Until(f"{named} answers", lambda: len(_again(host, uuids)) == len(uuids), within=_BACK, every=1.0),
            Do(f"ask the driver about {named}", lambda hands: _verdict(hands, host, uuids)),
        ]

    def _together(self, host: Host, wanted: Sequence[Reading]) -> List[Reading]:
        """Return the cards with those that hang directly on their NVLinks: these are reset as one."""
        known = {one.get("pci"): one for one in host.gpus(closely=True)}
        found: Dict[Any, Reading] = {one.get("pci", one["uuid"]): one for one in wanted}
        waiting = list(wanted)
        while waiting:
            for place in waiting.pop().get("peers", ()):
                peer = known.get(place)
                if peer is None or place in found:
                    continue
                if users.pids(peer) and not self.peers:
                    raise Refused(
                        f"{called(peer)} hangs on the same NVLink and is reset along with {called(wanted[0])}, and "
                        f"process {users.pids(peer)[0]} computes on it: drain the node first, or set `peers: true`"
                    )
                found[place] = peer
                waiting.append(peer)
        return sorted(found.values(), key=lambda one: int(one["index"]))

    def _resettable(self, one: Reading) -> None:
        verdict = one.get("recovery_action")
        if verdict in _REBOOT and not self.force:
            raise Refused(f"{called(one)}: the driver asks for {verdict}, and a reset is not enough: use `reboot`")
        if verdict in _OTHERS and not self.force:
            raise Refused(f"{called(one)}: the driver asks for {verdict}: {_OTHERS[str(verdict)]}")
        if one.get("mig"):
            raise Refused(f"{called(one)} is divided into MIG instances, which a reset takes away: destroy them first")
        if one.get("displays"):
            raise Refused(f"{called(one)} drives a display (process {one['displays'][0]}): stop that first")


def _asks(one: Reading) -> bool:
    """Tell whether there is anything to do for a card; what asks for more than a reset must be heard, too."""
    if one.get("recovery_action") != "NONE":
        return True
    return bool(one.get("remap_pending") or one.get("ecc_uncorrected"))


def _patient(wanted: Sequence[Reading]) -> None:
    one = next((one for one in wanted if one.get("recovery_action") == "DRAIN_AND_RESET"), None)
    if one is not None:
        raise Refused(
            f"{called(one)}: the driver asks for DRAIN_AND_RESET, so its current work may end first: "
            "`drain_node: {wait: true}` before it, or `force: true`"
        )


def _again(host: Host, uuids: Sequence[str]) -> List[Reading]:
    try:
        readings = host.gpus(closely=True)
    except Absent as error:
        raise Unclear(str(error)) from error
    return [one for one in readings if one.get("uuid") in uuids]


def _users(host: Host, uuids: Sequence[str]) -> List[int]:
    return [pid for one in _again(host, uuids) for pid in users.pids(one)]


def _reset(hands: Hands, together: Sequence[Reading]) -> None:
    uuids = ",".join(str(one["uuid"]) for one in together)
    try:
        perform_process.run(hands, Run(("nvidia-smi", "--gpu-reset", "-i", uuids)), doing=True)
    except Failed as error:
        holders = users.holders([int(one["minor"]) for one in together if "minor" in one])
        said = ", ".join(f"{name} ({pid})" for pid, name in sorted(holders.items()))
        hint = f"; it is held open by {said}: stop that first" if said else ""
        if not hint and any(one.get("switched") for one in together):
            hint = "; on NVSwitch machines before Ampere all GPUs are reset at once: `gpu: all`, `force: true`"
        raise Failed(f"{error}{hint}") from error


def _verdict(hands: Hands, host: Host, uuids: Sequence[str]) -> Mapping[str, Any]:
    """Believe a reset only when the driver asks for nothing more."""
    for one in _again(host, uuids):
        verdict = one.get("recovery_action", "NONE")
        if verdict in _REBOOT:
            hands.data["reboot_needed"] = True
            raise Failed(f"{called(one)}: the reset was not enough, the driver asks for {verdict}: use `reboot`")
        if verdict != "NONE":
            raise Failed(f"{called(one)}: after its reset the driver still asks for {verdict}")
    return {"reset": list(uuids), "reboot_needed": False, "changed": False}

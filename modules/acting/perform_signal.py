"""Carrying out Signal and Until: processes are signalled, awaited and killed; and waiting by looking."""

import select
import signal
import time
from typing import List, Sequence, Tuple

from runbook.modules.acting.hands import Hands, counted
from runbook.modules.acting.held import Family, Held, ancestors
from runbook.modules.actions import ENDING, Signal, Target, Until
from runbook.modules.declare import Failed, Refused, Unclear

_AFTER_KILL = 5.0  # seconds for a process to go after KILL
_SOONEST, _SHARE = 0.01, 0.1  # seconds between two looks, and their share of the time waited so far: soon at first
_ROUNDS = 100  # of stopping what is born while others are stopped


def signal_all(hands: Hands, action: Signal, doing: bool) -> Tuple[str, bool]:
    """Signal processes, wait for their end, kill what stays."""
    word = action.signal.upper()
    word = word.removeprefix("SIG")
    try:
        number = signal.Signals[f"SIG{word}"]
    except KeyError as error:
        raise Failed(f"no signal {action.signal!r}") from error
    ours = ancestors()
    for target in action.targets:
        if target.pid <= 1 or target.pid in ours:
            whose = "init" if target.pid <= 1 else "this step's own process or one that it runs under"
            raise Refused(f"pid {target.pid} is {whose}; it is not signalled")
    what = f"{word} to {_named(action.targets)}"
    family = Family([Held(target) for target in action.targets], grows=action.tree)
    try:
        there = family.left()
        if not doing or not there:
            return what, bool(there)
        for process in there:
            hands.touched = process.send(number) or hands.touched
        if word not in ENDING and not action.kill:
            return what, True
        left = _await(family, number, action.grace, hands)
        if left and action.kill:
            what += f", KILL to {_named([process.target for process in left])}"
            left = _kill(family, hands)
        if left:
            raise Failed(_still(left, "KILL" if action.kill else word))
        return what, True
    finally:
        family.close()


def _await(family: Family, number: int, seconds: float, hands: Hands) -> List[Held]:
    """Return those that are still there when the time is over; what they start meanwhile gets the signal too."""
    deadline = time.monotonic() + seconds
    while True:
        for process in family.grown():
            process.send(number)
        left = family.left()
        rest = deadline - time.monotonic()
        if not left or rest <= 0:
            return left
        hands.progress(f"waiting for the end of {_named([process.target for process in left])}")
        poller = select.poll()
        known = [process.pidfd for process in left if process.pidfd is not None]
        for held in known:
            poller.register(held, select.POLLIN)
        poller.poll(min(rest, 1.0 if len(known) == len(left) else 0.05) * 1000 + 1)


def _kill(family: Family, hands: Hands) -> List[Held]:
    """Kill all of them; they are stopped before, so that nothing forks faster than it is killed."""
    for process in family.left():
        process.send(signal.SIGSTOP)
    for _ in range(_ROUNDS):
        born = family.grown()
        if not born and not any(process.state in {"R", "S"} for process in family.left()):
            break
        for process in born:
            process.send(signal.SIGSTOP)
    for process in family.left():
        process.send(signal.SIGKILL)
    return _await(family, signal.SIGKILL, _AFTER_KILL, hands)


def _still(left: Sequence[Held], asked: str) -> str:
    said = f"still there after {asked}: {_named([process.target for process in left])}"
    stuck = [process.target for process in left if process.state == "D"]
    if not stuck:
        return said
    return (
        f"{said}; {_named(stuck)} hang{'s' if len(stuck) == 1 else ''} in the kernel (state D), where no signal "
        "reaches: a disk, a network file system or a driver must answer first, or the host be rebooted"
    )


def _named(targets: Sequence[Target]) -> str:
    if len(targets) > 5:
        return counted(len(targets), "process", "processes")
    return ", ".join(f"{target.name} ({target.pid})" if target.name else str(target.pid) for target in targets)


def until(hands: Hands, action: Until, doing: bool) -> Tuple[str, bool]:
    """Look again and again until it holds."""
    if not doing:
        return action.what, False
    began = time.monotonic()
    deadline = began + action.within
    while True:
        reason = ""
        try:
            if action.holds():
                return action.what, False
        except Unclear as error:
            reason = f" ({error})"
        now = time.monotonic()
        if now >= deadline:
            raise Failed(f"did not see that {action.what} within {action.within:g} s{reason}")
        hands.progress(f"waiting until {action.what}")
        time.sleep(min(deadline - now, action.every, max(_SOONEST, (now - began) * _SHARE)))

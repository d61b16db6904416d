"""Carrying out a plan, or saying what it would do: the only place where an action becomes an act."""

import os
from typing import Any, Callable, Dict, Iterable, List, Mapping, Sequence, Tuple, Type

from runbook.modules.acting import (
    perform_file,
    perform_keep,
    perform_own,
    perform_process,
    perform_restore,
    perform_signal,
    perform_tree,
)
from runbook.modules.acting.hands import Hands
from runbook.modules.actions import Action, Delete, Do, Keep, Move, Own, Restore, Run, Signal, Until, Write
from runbook.modules.declare import Failed, Refused, Step
from runbook.modules.host import Host
from runbook.modules.values import shown as _shown

Act = Callable[[Hands, Any, bool], Tuple[str, bool]]  # (what, changed); the third argument: do it, not only say it


def _do(hands: Hands, action: Do, doing: bool) -> Tuple[str, bool]:
    if not doing:
        return action.what, True
    hands.touched = True
    told = action.function(hands) or {}
    hands.data.update({name: value for name, value in told.items() if name not in {"changed", "what"}})
    return str(told.get("what", action.what)), bool(told.get("changed", True))


_ACTS: Mapping[Type[Any], Tuple[str, Act]] = {
    Run: ("run", perform_process.run),
    Write: ("write", perform_file.write),
    Delete: ("delete", perform_tree.delete),
    Move: ("move", perform_file.move),
    Own: ("own", perform_own.own),
    Keep: ("keep", perform_keep.keep),
    Restore: ("restore", perform_restore.restore),
    Signal: ("signal", perform_signal.signal_all),
    Until: ("until", perform_signal.until),
    Do: ("do", _do),
}
_UNDOS: Mapping[str, Callable[[Hands, Mapping[str, Any]], str]] = {
    "write": perform_file.undo_write,
    "move": perform_file.undo_move,
    "own": perform_own.undo_own,
    "keep": perform_restore.undo_keep,
    "restore": perform_restore.undo_restore,
}


def planned(module: Step, host: Host) -> List[Action]:
    """Return what a step plans.

    Raises:
        Failed: its `plan` returned something else than actions.
        Exception: whatever the module raises.
    """
    found: Any = module.plan(host)
    here = f"`plan` in {type(module).__module__.replace('.', '/')}.py"
    if isinstance(found, (str, bytes, dict)) or not isinstance(found, Iterable):
        raise Failed(f"{here} returned {_shown(found)}, not a list of actions")
    actions = list(found)
    wrong = next((each for each in actions if type(each) not in _ACTS), None)
    if wrong is not None:
        raise Failed(f"{here} returned {_shown(wrong)} among its actions; they are Run, Write, Delete and so on")
    return actions


class Performance:
    """One plan, from its first action to its last or to the one that fails."""

    def __init__(self, hands: Hands, actions: Sequence[Action]) -> None:
        self._hands = hands
        self._actions = list(actions)

    def check(self) -> None:
        """Say what would be done; nothing is."""
        for action in self._actions:
            self._perform(action, doing=False)

    def carry_out(self) -> None:
        """Do it.

        Raises:
            Refused: an action would leave what it may touch.
            Failed: an action did not reach its end; what was done before it stays done.
        """
        for action in self._actions:
            self._perform(action, doing=True)

    def _perform(self, action: Action, *, doing: bool) -> None:
        word, act = _ACTS[type(action)]
        said: Dict[str, Any] = {"action": word, "what": "", "changed": False}
        self._hands.actions.append(said)
        before, self._hands.touched = self._hands.touched, False
        try:
            said["what"], said["changed"] = act(self._hands, action, doing)
        except BaseException:
            said["what"] = said["what"] or _about(action)
            said["changed"] = self._hands.touched
            raise
        finally:
            self._hands.touched = self._hands.touched or before


def _about(action: Action) -> str:
    """Name an action that did not come to say it itself."""
    if isinstance(action, Run):
        return perform_process.shown(action.argv)
    if isinstance(action, Move):
        return f"{action.source} to {action.target}"
    if isinstance(action, Signal):
        return f"{action.signal} to {', '.join(str(target.pid) for target in action.targets)}"
    if isinstance(action, (Until, Do)):
        return action.what
    if isinstance(action, (Keep, Restore)):
        return ", ".join(action.roots) if isinstance(action, Keep) else action.what
    return action.path if isinstance(action, Write) else action.root


def undo_all(hands: Hands, undos: List[Dict[str, Any]]) -> None:
    """Undo what was kept, in the order given; one that can't be undone does not hold up the others.

    Raises:
        Failed: something is not as the step left it, and stays as it is.
    """
    problems = []
    for undo in undos:
        path = str(undo.get("path", ""))
        said: Dict[str, Any] = {"action": f"undo {undo.get('undo')}", "what": path, "changed": False}
        hands.actions.append(said)
        before, hands.touched = hands.touched, False
        try:
            said["what"] = _UNDOS[undo["undo"]](hands, undo)
            said["changed"] = hands.touched
        except (Refused, Failed) as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{path}: {os.strerror(error.errno or 0)}")
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"a record that can't be read: {error}")
        finally:
            hands.touched = hands.touched or before
    if problems:
        raise Failed("not undone: " + "; ".join(problems))

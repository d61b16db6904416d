"""What the connections of one run share: what a person was asked, and what is made once for all of them."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable


class Asker:
    """Asks a person, each thing once, whichever thread needs it first.

    Args:
        ask: asks for a secret by a prompt and returns it; None: there is nobody to ask.
        say: tells the person something that needs no answer, one line.

    Example:
        >>> asker = Asker(getpass.getpass if sys.stdin.isatty() else None)    # doctest: +SKIP
        >>> line = dial(target, asker)
    """

    def __init__(
        self,
        ask: Callable[[str], str] | None = None,
        *,
        say: Callable[[str], None] = lambda text: print(text, file=sys.stderr),  # noqa: T201
    ) -> None:
        self.say = say
        self.lock = threading.Lock()  # for what several threads would do at the same time to one file
        self._ask = ask
        self._asking = threading.Lock()
        self._answers: dict[str, Any] = {}
        self._made = threading.Lock()
        self._shared: dict[Any, Any] = {}

    def secret(self, prompt: str, fits: Callable[[str], Any], *, tries: int = 3) -> Any:
        """Ask for a secret until it fits, and return what `fits` made of it; whoever asks for it later gets the same.

        Args:
            prompt: what the person sees, without a colon; also the name under which the answer is kept.
            fits: makes something of the secret; raises ValueError where it is wrong.
            tries: how often.

        Raises:
            UserError: there is nobody to ask, or no answer fitted; also for whoever asks later.
        """
        with self._asking:
            if prompt not in self._answers:
                try:
                    self._answers[prompt] = self._asked(prompt, fits, tries)
                except UserError as error:
                    self._answers[prompt] = error
            found = self._answers[prompt]
        if isinstance(found, UserError):
            raise type(found)(found.what, where=found.where, mend=found.mend)
        return found

    def once(self, name: Any, make: Callable[[], Any]) -> Any:
        """Return what was made under a name; make it, if nobody did."""
        with self._made:
            if name not in self._shared:
                self._shared[name] = make()
            return self._shared[name]

    def _asked(self, prompt: str, fits: Callable[[str], Any], tries: int) -> Any:
        if self._ask is None:
            raise UserError(f"there is no terminal to ask for the {prompt}")
        for attempt in range(tries):
            again = "" if attempt == 0 else "that was not it; "
            try:
                answer = self._ask(f"{again}{prompt}: ")
            except EOFError:
                break
            try:
                return fits(answer)
            except (ValueError, TypeError):
                continue
        raise UserError(f"the {prompt} was not given")

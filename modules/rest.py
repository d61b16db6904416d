"""What of the agent's own code comes only when something needs it: see `bootstrap.Bundle`."""

import os
import sys
from typing import Any, Dict, Optional, Sequence

from runbook.modules import child

NAME = "rest"  # in the place of a layer's hash


class Rest:
    """The second part of the code, as the agent sees it."""

    def __init__(self) -> None:
        finders: Sequence[Any] = sys.meta_path
        self._bundle: Any = next((finder for finder in finders if hasattr(finder, "rest")), None)
        self.descriptor: Optional[int] = None  # becomes readable when a child needs it
        if self._bundle is not None:
            self.descriptor, wants = os.pipe()
            self._bundle.wants, self._bundle.agent = wants, os.getpid()
            child.kept.append(wants)

    def asked(self) -> bool:
        """Take in that children need it; tell whether it is not here."""
        os.read(self.descriptor or 0, 4096)
        return self.lacking()

    def lacking(self) -> bool:
        """It is not here."""
        from runbook.modules.bootstrap import intact

        return self._bundle is not None and not intact(self._bundle.rest)

    def before(self, message: Dict[str, Any]) -> Dict[str, Any]:
        """Return a request with the word that this is needed first, where that is so.

        A step goes on when the connection is gone, so all that it may import has to be here when it begins. What the
        agent itself has to import for a request can't come while it does.
        """
        op = message.get("op")
        usual = op == "run" and self._bundle is not None and self._bundle.first(f"steps.{message.get('step')}")
        if usual or op not in {"run", "undo", "listen"} or not self.lacking():
            return message
        return {**message, "layers": [*message.get("layers", ()), NAME]}

    def take(self, body: str) -> None:
        """Keep what the controller sent.

        Raises:
            Unusable: it did not arrive whole, or there is no room for it.
        """
        import base64

        from runbook.modules.bootstrap import store

        store(base64.b64decode(body), self._bundle.rest)

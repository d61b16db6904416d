"""What of the agent's own code comes only when something needs it: see `bootstrap.Bundle`."""

import os
import sys
from typing import Any, Dict, List, Optional, Sequence

from runbook.modules import child
from runbook.modules.bootstrap import PARTS, intact

_ACTING, _REST = PARTS.index("acting"), PARTS.index("rest")


class Rest:
    """The parts of the code that come later, as the agent sees them; each is named in the place of a layer's hash."""

    def __init__(self) -> None:
        finders: Sequence[Any] = sys.meta_path
        self._bundle: Any = next((finder for finder in finders if hasattr(finder, "paths")), None)
        self.descriptor: Optional[int] = None  # becomes readable when a child needs one
        if self._bundle is not None:
            self.descriptor, wants = os.pipe()
            self._bundle.wants, self._bundle.agent = wants, os.getpid()
            child.kept.append(wants)

    def asked(self) -> List[str]:
        """Take in what children need; return what of that is not here."""
        return self._lacking(sorted(set(os.read(self.descriptor or 0, 4096))))

    def lacking(self, layers: Sequence[str]) -> List[str]:
        """Return which parts that a request names are not here."""
        return self._lacking([part for part, name in enumerate(PARTS) if part and name in layers])

    def before(self, message: Dict[str, Any]) -> Dict[str, Any]:
        """Return a request with the parts that are needed first, where that is so.

        A step goes on when the connection is gone, so all that it may import has to be here when it begins. What the
        agent itself has to import for a request can't come while it does.
        """
        op = message.get("op")
        if self._bundle is None or op not in {"run", "undo", "listen"}:
            return message
        wanted = [_REST] if op == "listen" else [_ACTING, _REST]
        if op == "run" and self._bundle.part(f"steps.{message.get('step')}") <= _ACTING:
            wanted.remove(_REST)
        lacking = self._lacking(wanted)
        return {**message, "layers": [*message.get("layers", ()), *lacking]} if lacking else message

    def take(self, name: str, body: str) -> None:
        """Keep what the controller sent.

        Raises:
            Unusable: it did not arrive whole, or there is no room for it.
        """
        import base64

        from runbook.modules.bootstrap import store

        store(base64.b64decode(body), self._bundle.paths[PARTS.index(name)])

    def _lacking(self, parts: Sequence[int]) -> List[str]:
        if self._bundle is None:
            return []
        return [PARTS[part] for part in parts if not intact(self._bundle.paths[part])]

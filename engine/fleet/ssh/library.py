"""paramiko, without what it imports for its own reader of ssh_config, which nobody here asks (`config` is ours).

That is `invoke`, and with it asyncio, ssl and unittest.mock: as much as all the rest of paramiko. It does without.
"""

from __future__ import annotations

import sys
from typing import Any

_left: dict[str, Any] = sys.modules
_OPTIONAL = "invoke"

if "paramiko" not in sys.modules and _OPTIONAL not in sys.modules:
    _left[_OPTIONAL] = None  # says that there is none
    try:
        import paramiko  # noqa: F401 -- for whoever imports it from now on
    finally:
        del _left[_OPTIONAL]

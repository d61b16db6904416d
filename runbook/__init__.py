"""Declarative runbooks that heal machines running LLM, GPU and Slurm work.

The public face for Python programs is `heal` and `Engine`; `engine/heal.py` documents them.
"""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["Engine", "HealError", "Unavailable", "Waiting", "__version__", "heal"]

TYPE_CHECKING = False  # typing's own would be most of what `runbook --version` imports
if TYPE_CHECKING:
    from typing import Any

    from runbook.engine.heal import Engine, HealError, Unavailable, Waiting, heal


def __getattr__(name: str) -> Any:
    """Import the public face when it is asked for: the command line starts without it."""
    if name in __all__:
        import importlib

        return getattr(importlib.import_module("runbook.engine.heal"), name)
    raise AttributeError(f"module 'runbook' has no attribute {name!r}")

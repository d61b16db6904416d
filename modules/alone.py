"""One step at a time at something that several may want: by a lock in the agent's own directory."""

import contextlib
import os
import time
from typing import Iterator

from runbook.modules import durable
from runbook.modules.declare import Failed
from runbook.modules.host import Host


@contextlib.contextmanager
def alone(host: Host, name: str, doing: str, patience: float) -> Iterator[None]:
    """Keep other steps of this host away.

    Args:
        host: where.
        name: of the lock's file, without its ending.
        doing: what another one does that is waited for, such as `been at the node gpu01`.
        patience: seconds to wait for it.

    Raises:
        Failed: another one is at it for too long.
    """
    held = durable.lock(os.path.join(host.own_directory(), f"{name}.lock"), time.monotonic() + patience)
    if held is None:
        raise Failed(f"another step has {doing} for more than {patience:g} s")
    try:
        yield
    finally:
        os.close(held)

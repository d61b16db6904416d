"""`runbook` that stops itself (SIGSTOP) once: when a step's intent is durable, and just before it is sent.

python stopped_before_sending.py PYTHON -m runbook WORD...
"""

import os
import signal
import sys

from runbook.engine.cli import main
from runbook.engine.flight import Flight

send = Flight.act


def stop_and_send(flight, *order, **more):
    """Be stopped, once; when it goes on, send what was decided before."""
    Flight.act = send
    os.kill(os.getpid(), signal.SIGSTOP)
    return send(flight, *order, **more)


if __name__ == "__main__":
    Flight.act = stop_and_send
    sys.argv = ["runbook", *sys.argv[4:]]
    main()

"""Looking and acting under another interpreter of the host, which the runbook names as `python`.

It runs the same code on the same request, and answers through a pipe; the process that asked passes that on.
"""

import contextlib
import os
import subprocess
import sys
import time
from typing import Any, Dict, List, Mapping

from runbook.modules import wire
from runbook.modules.child import Write

_OURS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# bytecode is for one Python: the source, which a request for another brings, lies beside it under the hash alone
_CODE = os.path.join(os.path.dirname(_OURS), os.path.basename(_OURS).partition("-")[0])
_PROGRAM = (
    "import sys\n"
    "v = sys.version_info\n"
    "if v < (3, 9): sys.exit('it is Python %d.%d; 3.9 is the oldest that will do' % v[:2])\n"
    "sys.path.insert(0, sys.argv[1])\n"
    "from runbook.modules import guest\n"
    "guest.main()\n"
)
_LINE = 4096  # bytes in which the last line is looked for
_TOLD = 300  # characters of what it printed on its way out


def act(order: Mapping[str, Any], ledger: Any, write: Write) -> None:
    """Carry out a `run` request there and say how it ended."""
    began = time.monotonic()
    problem = _relay({"kind": "run", "base": ledger.base, "body": _here(order)}, str(order["python"]), write)
    if problem:
        answer = wire.result("refused", problem, duration=time.monotonic() - began)
        write(wire.encode({"result": answer, "imported": []}))


def look(spec: Mapping[str, Any]) -> Dict[str, Any]:
    """Look there. Whatever goes wrong is an answer."""
    began = time.monotonic()
    said: List[Dict[str, Any]] = []
    reader = wire.Reader()
    python = str(spec["python"])
    problem = _relay({"kind": "look", "body": _here(spec)}, python, lambda data: said.extend(reader.feed(data)))
    if said and not problem:
        return {**said[-1]["look"], "id": spec.get("id")}
    answer: Dict[str, Any] = {"id": spec.get("id"), "status": "unknown", "records": [], "reason": problem, "state": {}}
    return {**answer, "duration": time.monotonic() - began}


def _here(request: Mapping[str, Any]) -> Dict[str, Any]:
    return {name: value for name, value in request.items() if name != "python"}


def _relay(request: Mapping[str, Any], python: str, write: Write) -> str:
    """Start the interpreter on a request and pass on what it says; return what went wrong, if it said nothing."""
    heard = 0
    words = os.memfd_create("said")  # a pipe that nobody reads would hold it up
    try:
        process = subprocess.Popen(
            [python, "-I", "-c", _PROGRAM, _CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
        )
    except (OSError, ValueError) as error:
        os.close(words)
        return f"its `python: {python}` can't be started: {getattr(error, 'strerror', None) or error}"
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(wire.encode(dict(request)))
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        while True:
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                break
            heard += len(data)
            write(data)
        code = process.wait()
    with os.fdopen(words, "rb") as file:
        file.seek(max(0, os.fstat(words).st_size - _LINE))
        last = file.read().decode("utf-8", "replace").strip().splitlines()[-1:]
    sys.stderr.write("".join(f"{line}\n" for line in last))
    if heard:
        return ""
    how = f"exit code {code}" if code >= 0 else f"signal {-code}"
    return f"its `python: {python}` ended with {how}{': ' + last[0][:_TOLD] if last else ''}"

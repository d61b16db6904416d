"""A process that downloads, in a child for each line on its standard input, and says the child's pid: to be killed.

    python hub_downloader.py WRITABLE PARAMETERS(JSON)

What a child said when it came to its end goes to standard output as well: `done {…}` or `failed REASON`.
"""

import json
import os
import socket
import sys

import huggingface_hub.file_download
import huggingface_hub.hf_api  # noqa: F401 -- before the first child, which then has it

from runbook.modules.acting.hands import Hands
from runbook.modules.acting.perform import Performance
from runbook.modules.declare import Failed, Refused
from runbook.modules.host import Host
from runbook.modules.steps.hf_download import HfDownload

WINDOW = 32 << 10  # bytes that the kernel takes for us: what a hub counts as sent was nearly all received


def narrow(address, timeout=None, source_address=None, **_):
    """Connect as `socket.create_connection` does, with a small window."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
    made.settimeout(timeout)
    if source_address:
        made.bind(source_address)
    made.connect(address)
    return made


def say(text):
    os.write(1, f"{text}\n".encode())


def download(writable, given):
    host = Host(writable=(writable,))
    hands = Hands(host.writable, lambda _: None, lambda _: None)
    try:
        Performance(hands, HfDownload(**given).plan(host)).carry_out()
        say("done " + json.dumps(hands.data))
    except (Failed, Refused) as error:
        say(f"failed {error}")


def main():
    socket.create_connection = narrow
    writable, given = sys.argv[1], json.loads(sys.argv[2])
    for _ in sys.stdin:
        pid = os.fork()
        if not pid:
            download(writable, given)
            os._exit(0)
        say(f"pid {pid}")
        os.waitpid(pid, 0)
        say("ended")


if __name__ == "__main__":
    main()

"""What a first contact with many hosts is not to spend."""

import subprocess
import sys
import threading
import time

from runbook.engine.fleet.once import Once
from runbook.modules import batch
from runbook.modules.probes import health


def test_what_many_threads_need_at_once_is_made_once():
    made = []

    @Once
    def pack(name):
        """Make it."""
        time.sleep(0.01)  # the others come meanwhile
        made.append(name)
        return object()

    found = []
    threads = [threading.Thread(target=lambda: found.append(pack("x"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert made == ["x"]
    assert len({id(each) for each in found}) == 1
    pack("y")
    pack.cache_clear()
    pack("x")
    assert made == ["x", "y", "x"]


def test_paramiko_comes_without_what_its_own_reader_of_ssh_config_would_import():
    script = (
        "import sys, runbook.engine.fleet.ssh.line\n"
        "assert 'paramiko' in sys.modules\n"
        "assert not {'invoke', 'asyncio', 'unittest'} & {*sys.modules}, 'it came along'\n"
        "import invoke"  # whoever wants it finds it
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_first_look_that_sleeps_for_its_sample_brings_no_second_worker():
    assert health.SAMPLE < batch._SLOW

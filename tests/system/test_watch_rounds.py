"""`runbook watch`: what is looked at again and again, or was lost, keeps nothing else from being looked at."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from watching import Watching, lines, until

SLOW = '''
import time
from dataclasses import dataclass
from runbook.modules.declare import Path, Probe, Record
from runbook.modules.listening import sources

@dataclass(frozen=True)
class SlowRecord(Record):
    path: str  # the file

@dataclass(frozen=True)
class Slow(Probe):
    """Look at a file for two seconds.

    Example:
        - slow: /srv/flag
          when: path == ""
    """

    record = SlowRecord
    subject = "path"

    path: Path  # the file

    def look(self, host):
        time.sleep(2.0)
        yield SlowRecord(self.path)

    def sources(self, host, records):
        yield sources.path(self.path)
'''

TWO = """
name: two
every: 1s
detectors:
  - name: busy
    slow: {home}/busy
    when: path == ""
    mode: observe
    every: {busy}
  - name: ill
    command: [test, -e, {home}/ill]
    when: exit_code == 0
    mode: auto
    verify: {{within: 20s}}
    recover: [{{shell: {{script: "rm {home}/ill; echo healed >> {home}/acts"}}}}]
"""

FILE = """
name: file
every: 1h
detectors:
  - name: ill
    file: {home}/ill
    when: exists
    mode: auto
    verify: {{within: 20s}}
    recover: [{{shell: {{script: "rm {home}/ill; echo healed >> {home}/acts"}}}}]
"""


@pytest.fixture
def stirred(cli):
    """A file that is written to all the time."""
    busy, over = cli.home / "busy", threading.Event()
    busy.touch()

    def write():
        while not over.wait(0.05):
            busy.touch()

    thread = threading.Thread(target=write)
    thread.start()
    yield busy
    over.set()
    thread.join()


def test_what_stirs_all_the_time_leaves_the_rounds_to_the_others(cli, stirred):
    modules = cli.home / "modules"
    (modules / "probes").mkdir(parents=True)
    (modules / "probes/slow.py").write_text(SLOW)
    book = cli.write("two.yaml", TWO.format(home=cli.home, busy="1s"))
    with Watching(cli, book, "--module-path", modules) as watch:
        watch.ready()
        until(lambda: watch.standing().get("listening") == 1, told=watch.told)
        (cli.home / "ill").touch()
        watch.until("step.begun", seconds=8)
        watch.until("incident.ended")


def agents(pid):
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def test_an_agent_that_was_killed_is_replaced_at_once_and_hears_again(cli):
    with Watching(cli, cli.write("file.yaml", FILE.format(home=cli.home))) as watch:
        watch.ready()
        until(lambda: watch.standing().get("listening") == 1, told=watch.told)
        for count in (1, 2):
            (killed,) = agents(watch.pid)
            os.kill(killed, signal.SIGKILL)
            until(lambda killed=killed: [each for each in agents(watch.pid) if each != killed], told=watch.told)
            (cli.home / "ill").touch()  # the next look that is due is an hour away
            watch.until("incident.ended", count)
    assert lines(cli.home / "acts") == ["healed"] * 2

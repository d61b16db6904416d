"""Each injection of `runbook drill`, real, in a place of its own; seen by a detector that knows nothing of it."""

from __future__ import annotations

import pytest
from drilling import drills, needed  # noqa: F401 -- a fixture

pytestmark = needed

SLEEPER = {"start": ["python3", "-c", "import subprocess, time; subprocess.Popen(['sleep', '300']); time.sleep(300)"]}
PRINTER = {"start": ["python3", "-uc", "import time\nprint('I am up')\nwhile 1: open('beat', 'w').write(str(time.time())); time.sleep(.05)"],
           "ready": {"line": "am up"}}  # fmt: skip
PIDFILE = "{{ root }}/run/worker.pid"
SOUND = {"sound.json": {"json": {"batch": [1, 2, 3]}}}
HTTP = {"http": {"url": "http://127.0.0.1:20000/x", "timeout": "500ms"}}
FILE = {"file": {"path": "{{ root }}/sound.json", "format": "json"}}

CASES = {
    "killed": (
        {"daemon": {"unit": PIDFILE}, "when": "state == 'stale' and orphans == 1"},
        {"kill": "worker"}, {"daemons": {"worker": SLEEPER}},
    ),
    "killed with its children": (
        {"daemon": {"unit": PIDFILE}, "when": "state == 'stale' and orphans == 0"},
        {"kill": {"daemon": "worker", "tree": True}}, {"daemons": {"worker": SLEEPER}},
    ),
    "killed by what it is called": (
        {"process": {"match": "^sleep 300"}, "when": "count == 0"},
        {"kill": {"match": "^sleep 300", "signal": "TERM"}}, {"daemons": {"worker": SLEEPER}},
    ),
    "hanging": (
        {"file": "{{ root }}/beat", "when": "age > 500ms"},
        {"hang": "worker"}, {"daemons": {"worker": PRINTER}},
    ),
    "a file removed": (
        {**FILE, "when": "not exists"}, {"remove": "sound.json"}, {"files": SOUND},
    ),
    "a tree removed": (
        {"file": "{{ root }}/tree", "when": "not exists"}, {"remove": ["tree"]}, {"files": {"tree/a/b": "x"}},
    ),
    "a file cut off": (
        {**FILE, "when": "not valid"}, {"corrupt": "sound.json"}, {"files": SOUND},
    ),
    "a file zeroed": (
        {**FILE, "when": "not valid"}, {"corrupt": {"path": "sound.json", "how": "zero"}}, {"files": SOUND},
    ),
    "a byte flipped": (
        {**FILE, "when": "not valid"}, {"corrupt": {"path": "sound.json", "how": "flip"}}, {"files": SOUND},
    ),
    "a file of noise": (
        {**FILE, "when": "not valid"}, {"corrupt": {"path": "sound.json", "how": "garble"}}, {"files": SOUND},
    ),
    "a file written": (
        {"file": "{{ root }}/sound.json", "when": "size == 3MB"}, {"write": {"path": "sound.json", "size": "3MB"}}, {"files": SOUND},
    ),
    "a file that grows": (
        {**FILE, "when": "not valid"}, {"append": {"path": "sound.json", "content": "}"}}, {"files": SOUND},
    ),
    "a wrong mode": (
        {"file": "{{ root }}/token", "when": "mode != '0600'"}, {"permit": {"path": "token", "mode": "0644"}},
        {"files": {"token": {"content": "x", "mode": "0600"}}},
    ),
    "an old file": (
        {"file": "{{ root }}/backup", "when": "age > 1d"}, {"age": {"path": "backup", "by": "2d"}},
        {"files": {"backup": {"content": "x", "age": "1h"}}},
    ),
    "a full disk": (
        {"health": "{{ root }}/disk", "when": "disk_free == 0"}, {"fill": "disk"}, {"disks": {"disk": "2MB"}},
    ),
    "a large disk nearly full": (
        {"health": "{{ root }}/disk", "when": "disk_free < 2MB and disk_free >= 1MB"},
        {"fill": {"path": "disk", "leave": "1MiB"}}, {"disks": {"disk": "900GB"}, "files": {"disk/a": {"size": "1MB"}}},
    ),
    "a line of a log": (
        {"log": {"paths": "{{ root }}/x.log", "patterns": "out of (?P<what>memory)"}},
        {"log": {"path": "x.log", "lines": "step 3: out of memory"}}, {"files": {"x.log": "step 1\n"}},
    ),
    "a line of the kernel": (
        {"log": {"kernel": True, "signatures": ["kmsg.xid"]}, "subject": "{{ gpu }}", "when": "action >= 'reset'"},
        {"kernel": "NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus."}, {"gpus": 1},
    ),
    "a hot GPU": (
        {"gpu": None, "when": "temperature > 90"}, {"gpu": {"index": 1, "temperature": 95}}, {"gpus": 2},
    ),
    "a lost GPU": (
        {"gpu": {"expected": 2}, "when": "lost"}, {"gpu": {"error": 15}}, {"gpus": [{}, {"name": "H200"}]},
    ),
    "a server that answers 500": (
        {**HTTP, "when": "status == 500"}, {"server": {"api": {"status": 500}}}, {"servers": {"api": {}}},
    ),
    "a server that wants less": (
        {**HTTP, "when": "status == 429"}, {"server": {"api": {"status": 429, "retry_after": 2}}}, {"servers": {"api": None}},
    ),
    "a server that hangs": (
        {**HTTP, "when": "status == 0"}, {"server": {"api": "hang"}}, {"servers": {"api": {}}},
    ),
    "a server that is stopped": (
        {**HTTP, "when": "status == 0"}, {"hang": "api"}, {"servers": {"api": {}}},
    ),
    "a server that resets": (
        {**HTTP, "when": "status == 0"}, {"server": {"api": "reset"}}, {"servers": {"api": {}}},
    ),
    "a port that refuses": (
        {"port": "127.0.0.1:20000", "when": "not open"}, {"server": {"api": "refuse"}}, {"servers": {"api": {}}},
    ),
    "a command's damage": (
        {"file": "{{ root }}/x", "when": "exists"}, {"run": ["touch", "{{ scratch }}/x"]}, {"run": ["true"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_fault_is_seen_and_was_not_there_before(name, drills):  # noqa: F811
    detector, injection, given = CASES[name]
    if "daemons" in given:
        given = {**given, "env": {"PWD": "/drill"}}
    fault = {"name": name, "detector": "it", "inject": injection, "expect": "open"}
    top = {"writable": ["{{ root }}"]}
    code, faults = drills.drill([{"name": "it", **detector}], [fault], given=given, top=top)
    assert (code, faults[name]["verdict"]) == (0, "as expected"), faults[name]
    assert 0 <= faults[name]["seen_after_s"] < 10


FETCH = """
import sys, time, urllib.request
print(len(urllib.request.urlopen("http://127.0.0.1:20000/model.bin", timeout=2).read()))
"""


@pytest.mark.parametrize("how", [{"cut": 1000}, {"stall": 1000}, {"reset": 70000}, {"status": 503}], ids=str)
def test_a_download_that_is_broken_once_is_tried_again(how, drills):  # noqa: F811
    fetch = {
        "name": "fetch", "command": {"argv": ["python3", "-c", FETCH]}, "timeout": "20s",
        "retry": {"strategy": "immediate", "attempts": 3},
    }  # fmt: skip
    fault = {"name": "cut", "operation": "fetch", "inject": {"server": {"hub": {**how, "times": 1}}}}
    given = {"files": {"www/model.bin": {"size": "200kB"}}, "servers": {"hub": {"folder": "www"}}}
    code, faults = drills.drill([], [fault], given=given, top={"operations": [fetch]}, within="20s")
    assert (code, faults["cut"]["verdict"], faults["cut"]["state"]) == (0, "healed", "succeeded"), faults["cut"]
    assert 0 < faults["cut"]["seen_after_s"] <= faults["cut"]["healed_after_s"]


def test_a_part_of_a_file_is_served_from_where_it_was_cut(drills):  # noqa: F811
    resume = (
        "import urllib.request as u; "
        "r = u.urlopen(u.Request('http://127.0.0.1:20000/m', headers={'Range': 'bytes=7-'})); "
        "assert (r.status, r.read(), r.headers['Content-Range']) == (206, b'hij', 'bytes 7-9/10')"
    )
    fault = {"name": "x", "operation": "resume", "inject": {"server": {"hub": {"status": 503, "times": 1}}}}
    given = {"files": {"www/m": "abcdefghij"}, "servers": {"hub": {"folder": "www"}}}
    again = {"name": "resume", "command": {"argv": ["python3", "-c", resume]}, "timeout": "9s",
             "retry": {"strategy": "immediate", "attempts": 2}}  # fmt: skip
    code, faults = drills.drill([], [fault], given=given, top={"operations": [again]})
    assert code == 0, faults


@pytest.mark.root
def test_a_wrong_owner(drills):  # noqa: F811
    detector = {"name": "it", "file": "{{ root }}/x", "when": "owner != 'root'",
                "recover": [{"chown": {"path": "{{ incident.path }}", "owner": "root"}}]}  # fmt: skip
    fault = {
        "name": "given away",
        "detector": "it",
        "inject": {"permit": {"path": "x", "owner": "nobody"}},
        "needs": "root",
    }
    code, faults = drills.drill([detector], [fault], given={"files": {"x": "x"}})
    assert (code, faults["given away"]["verdict"], faults["given away"]["steps"]) == (0, "healed", ["chown"])

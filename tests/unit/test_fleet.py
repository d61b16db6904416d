import io
import subprocess
import sys
import zipfile

import pytest

from runbook.engine.fleet import messages, pack
from runbook.engine.fleet.messages import Spec
from runbook.engine.model import UNKNOWN, Lacking, NotSeen, Order, Outcome, Record, Seen, StepStatus
from runbook.modules.wire import result


def look(status, **more):
    return {"id": "x", "status": status, "records": [], "reason": "", "state": {}, "duration": 0.1, **more}


def test_the_pack_holds_the_modules_under_their_import_name_and_no_engine():
    with zipfile.ZipFile(io.BytesIO(pack.packed())) as files:
        names = files.namelist()
        assert files.read("runbook/__init__.py") == b""
    assert {"runbook/modules/agent.py", "runbook/modules/probes/health.py", "runbook/modules/__init__.py"} <= set(names)
    assert not [name for name in names if "engine" in name or "__pycache__" in name or name.endswith(".pyc")]


def test_the_same_modules_make_the_same_pack_in_every_process():
    script = (
        "from runbook.engine.fleet import pack; import hashlib;"
        "print(pack.digest(), hashlib.sha256(pack.packed()).hexdigest())"
    )
    told = {subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout for _ in range(2)}
    assert len(told) == 1


def test_other_content_under_another_cut_is_another_hash(monkeypatch):
    digests = set()
    for contents in ({"a": b"bc"}, {"ab": b"c"}, {"a": b"b", "c": b""}):
        monkeypatch.setattr(pack, "contents", lambda contents=contents: contents)
        pack.digest.cache_clear()
        digests.add(pack.digest())
    pack.digest.cache_clear()
    assert len(digests) == 3


def test_a_small_pack_is_smaller_and_holds_the_same():
    small, stored = (zipfile.ZipFile(io.BytesIO(pack.packed(small=small))) for small in (True, False))
    assert {name: small.read(name) for name in small.namelist()} == pack.contents()
    assert {name: stored.read(name) for name in stored.namelist()} == pack.contents()
    assert len(pack.packed(small=True)) < len(pack.packed()) / 2


def test_the_loader_is_a_few_lines_that_take_the_bootstrap_from_standard_input():
    loader = pack.loader()
    assert loader.count("\n") < 5
    done = subprocess.run(
        [sys.executable, "-I", "-c", loader], input=pack.bootstrap(), capture_output=True, check=False, timeout=30
    )
    assert done.stderr.decode().strip() == "the controller went away before the agent had started"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            look("seen", records=[{"subject": "0", "fields": {"t": 1, "p": {"$unseen": True}, "d": {"a": [1]}}}]),
            Seen((Record("0", {"t": 1, "p": UNKNOWN, "d": {"a": [1]}}),), {}),
        ),
        (look("seen", state={"offset": 7}), Seen((), {"offset": 7})),
        (look("absent", reason="no NVIDIA driver"), Lacking("no NVIDIA driver")),
        (look("unknown", reason="may not read /x"), NotSeen("may not read /x")),
    ],
)
def test_looks_become_the_grounds_types(answer, expected):
    assert messages.looks({"seq": 1, "looks": [answer]}) == {"x": expected}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"result": result("done", changed=True)}, Outcome(StepStatus.DONE, changed=True)),
        ({"known": "lost", "result": None}, Outcome(StepStatus.LOST, data={"begun": False})),
        ({"known": "lost", "result": None, "begun": True}, Outcome(StepStatus.LOST, data={"begun": True})),
        ({"known": "running", "result": None, "begun": True}, Outcome(StepStatus.RUNNING, data={"begun": True})),
        ({"known": "result", "result": result("failed", "no")}, Outcome(StepStatus.FAILED, error="no")),
    ],
)
def test_answers_become_outcomes(message, expected):
    assert messages.outcome(message) == expected


@pytest.mark.parametrize("text", ["caf\u00e9", "\udcc3\udca9x", "a\udcff", "\ud83d\ude00", "\ud83d"])
def test_whatever_a_host_says_can_be_printed(text):
    outcome = messages.outcome({"result": result("done", output=text, actions=[{"what": text}], data={text: [text]})})
    for said in (outcome.output, outcome.actions[0]["what"], *outcome.data, *outcome.data.values()):
        str(said).encode()


def test_a_request_says_what_the_order_says():
    order = Order("chown", {"path": "/x"}, host_text=frozenset({"path"}), timeout=7.0)
    request = messages.run("i1", order, epoch=3, subject="gpu 0", writable=("/x",), check=True)
    assert (request["step"], request["params"], request["host_text"]) == ("chown", {"path": "/x"}, ["path"])
    assert (request["epoch"], request["subject"], request["timeout"], request["check"]) == (3, "gpu 0", 7.0, True)
    assert request["writable"] == ["/x"]


def test_a_request_for_looks_carries_parameters_state_and_deadline():
    (spec,) = messages.probe([Spec("a", "log", {"paths": ("/x",)}, {"offset": 3}, 5.0)])["specs"]
    expected = {"id": "a", "probe": "log", "params": {"paths": ("/x",)}, "state": {"offset": 3}, "deadline": 5.0}
    assert spec == expected

import io
import os
import subprocess
import sys
import threading
import zipfile

import pytest

from runbook.engine.fleet import messages, pack
from runbook.engine.fleet.agent import Agent
from runbook.engine.fleet.link import Pipes
from runbook.engine.fleet.messages import Spec
from runbook.engine.model import UNKNOWN, Lacking, NotSeen, Order, Outcome, Record, Seen, StepStatus
from runbook.modules import wire
from runbook.modules.wire import result


def look(status, **more):
    return {"id": "x", "status": status, "records": [], "reason": "", "state": {}, "duration": 0.1, **more}


def test_the_pack_holds_the_modules_under_their_import_name_and_no_engine():
    with zipfile.ZipFile(io.BytesIO(pack.packed())) as files:
        names = files.namelist()
        assert files.read("runbook/__init__.py") == b""
    assert {"runbook/modules/agent.py", "runbook/modules/probes/health.py", "runbook/modules/__init__.py"} <= set(names)
    assert not [
        name for name in names if name.startswith("runbook/engine") or "__pycache__" in name or name.endswith(".pyc")
    ]


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
            look(
                "seen",
                records=[{"subject": "0", "fields": {"t": 1, "p": None, "d": {"a": [1]}}, "unseen": ["p"]}],
            ),
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
    claim = messages.Claim("j1", 3, "ann@a", 900.0)
    request = messages.run(messages.Errand("i1", order, claim, "gpu 0", writable=("/x",), check=True))
    assert (request["step"], request["params"], request["host_text"]) == ("chown", {"path": "/x"}, ["path"])
    assert (request["subject"], request["timeout"], request["check"]) == ("gpu 0", 7.0, True)
    assert request["claim"] == {"journal": "j1", "epoch": 3, "owner": "ann@a", "lasts": 900.0, "beside": False}
    assert request["writable"] == ["/x"]


def test_a_request_for_looks_carries_parameters_state_and_deadline():
    (spec,) = messages.whole([Spec("a", "log", {"paths": ("/x",)}, {"offset": 3}, 5.0)])["specs"]
    expected = {"id": "a", "probe": "log", "params": {"paths": ("/x",)}, "state": {"offset": 3}, "deadline": 5.0}
    assert spec == expected


def test_what_a_host_sends_in_our_own_marks_is_a_value_like_any_other():
    fields = {"json": {"$unseen": True}, "other": [{"$number": "nan"}]}
    seen = messages.looks({"looks": [look("seen", records=[{"subject": "", "fields": fields}])]})["x"]
    assert seen.records[0].fields == fields


def test_what_is_nested_too_deeply_is_cut_and_breaks_nothing():
    deep = "x"
    for _ in range(5000):
        deep = {"a": [deep]}
    assert "…" in str(messages.printable(deep))


def connected():
    """An agent whose other ends are ours: what it reads of answers, we write."""
    requests, answers, log = os.pipe(), os.pipe(), os.pipe()
    agent = Agent("gpu01", Pipes(requests[1], answers[0], log[0], lambda: None), base=None)
    os.write(answers[1], wire.MARK + wire.encode({"ready": {"python": "3.11"}}))
    return agent, answers[1], (requests[0], answers[1], log[1])


@pytest.mark.parametrize("poison", [b"[" * 100_000, b"1" * 100_000, b"{"], ids=["deep", "long number", "torn"])
def test_an_answer_that_cannot_be_read_is_unknown_and_the_next_ones_arrive(poison):
    agent, answers, ours = connected()
    seq = agent.send(messages.probe([Spec("a", "http"), Spec("b", "port")]))
    other = agent.send(messages.run(messages.Errand("i1", Order("wait", {}))))
    third = agent.send(messages.ask("i1"))
    os.set_blocking(answers, True)
    frames = [b'{"seq":%d,"x":%s}' % (number, poison) for number in (seq, other)]
    told = b"".join(map(wire.frame, frames)) + wire.encode({"seq": third, "known": "lost", "result": None})
    writer = threading.Thread(target=os.write, args=(answers, told))
    writer.start()
    arrived = {}
    while len(arrived) < 3:
        arrived.update(agent.receive(10.0))
    writer.join()
    looks = messages.looks(arrived[seq])
    assert {name: type(found) for name, found in looks.items()} == {"a": NotSeen, "b": NotSeen}
    assert "can't be read" in looks["a"].reason
    assert messages.outcome(arrived[other]).status is StepStatus.LOST
    assert "can't be read" in messages.outcome(arrived[other]).error
    agent.close()
    for descriptor in ours:
        os.close(descriptor)

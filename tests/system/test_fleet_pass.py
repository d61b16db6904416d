"""A pass over several hosts, each an agent of this machine with a directory of its own: order, budgets, cuts."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from runbook.engine import intake, start
from runbook.engine.among import Among, Reach
from runbook.engine.calling import Listeners
from runbook.engine.errors import HostUnreachable, UserError
from runbook.engine.fleet.hosts import Hosts
from runbook.engine.fleet.line import Here
from runbook.engine.recover.state import Settings
from runbook.engine.report.document import document
from runbook.engine.report.gather import Gather

INVENTORY = """
gpu:
  hosts:
    gpu[1:4]:
  vars: {root: "ROOT/{{ inventory_hostname }}", colour: blue}
login:
  hosts: {login01: {root: "ROOT/login01"}}
"""


class Cut:
    """A link that can be cut: what the agent says is not heard any more, and it sees the end of its input."""

    def __init__(self, link, cut):
        self._link, self._cut = link, cut

    def __getattr__(self, name):
        return getattr(self._link, name)

    def read(self):
        return b"" if self._cut.is_set() else self._link.read()

    def write(self, data):
        return len(data) if self._cut.is_set() else self._link.write(data)


class Cuttable(Here):
    def __init__(self, base, cut):
        super().__init__(base)
        self._cut = cut

    def agent(self, user=None):
        if self._cut.is_set():
            raise HostUnreachable("no route to it")
        agent = super().agent(user)
        agent._link = Cut(agent._link, self._cut)
        return agent


class Fleet:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.cuts = {name: threading.Event() for name in ("gpu1", "gpu2", "gpu3", "gpu4", "login01", "localhost")}
        self.inventory = root / "inventory.yaml"
        self.inventory.write_text(INVENTORY.replace("ROOT", str(root)))
        for name in self.cuts:
            (root / name).mkdir()
        self.facts = []
        self.on_fact = lambda fact: None

    def dial(self, name):
        return Cuttable(str(self.root / "agents" / name), self.cuts[name])

    def apply(self, text: str, *, limits=(), settings=None, hosts=None, **asked):
        book = self.root / "book.yaml"
        book.write_text(text)
        among = Among(Reach(inventories=(str(self.inventory),), limits=tuple(limits)))
        runbook = intake.load(book, {}, among.names())
        chosen = among.choose(runbook)
        request = start.Request(
            runbook, "apply", settings or Settings(), asked.pop("wait", 20.0), hosts=chosen.hosts, size=chosen.size,
            users=chosen.users, journal=str(self.root / "journal.db"), **asked)  # fmt: skip
        gather = Gather(lambda text: text)

        def told(fact):
            self.facts.append(fact)
            self.on_fact(fact)
            gather.add(fact)

        self.facts = []
        with hosts or Hosts(self.dial, limits=(60.0, 5.0, 15.0)) as pool:
            session = start.Session(request, connect=lambda: contextlib.nullcontext(pool))
            self.session = session
            stopped = session.run(Listeners([told]))
            report = gather.report() if not stopped else replace(gather.report(), stopped=True)
            session.close(report.exit_code)
        return report.exit_code, json.loads(json.dumps(document(report)["runs"][0]["hosts"], default=str))

    def of(self, kind):
        return [fact for fact in self.facts if fact.kind == kind]

    def said(self, name):
        file = self.root / name
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def fleet(tmp_path):
    return Fleet(tmp_path)


ILL = """
name: fleet
hosts: gpu
writable: ["{{ root }}"]
detectors:
  - name: ill
    file: "{{ root }}/ill"
    when: exists
    recover:
      - command: {argv: [sh, -c, "echo {{ host }} >> {{ root }}/../cures; rm {{ root }}/ill"]}
    verify: {every: 50ms, within: 5s}
"""


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def make_ill(fleet, *names):
    for name in names:
        (fleet.root / name / "ill").touch()


def test_every_host_of_the_pattern_is_healed_and_those_outside_the_limit_are_left(fleet):
    make_ill(fleet, "gpu1", "gpu2", "gpu3", "login01")
    code, hosts = fleet.apply(ILL, limits=["gpu[1:2]", "!gpu3"])  # by their places in the group: gpu2 and gpu3
    assert (code, sorted(hosts), fleet.said("cures")) == (0, ["gpu2"], ["gpu2"])
    assert (fleet.root / "login01" / "ill").exists()


def test_a_var_of_the_runbook_goes_before_the_inventorys(fleet):
    text = """
name: vars
hosts: gpu1
vars: {colour: red}
operations:
  - name: say
    command: {argv: [echo, "{{ colour }} {{ inventory_hostname }} {{ group_names }}"]}
    timeout: 9s
"""
    _, hosts = fleet.apply(text)
    assert hosts["gpu1"]["operations"][0]["state"] == "succeeded"
    assert any("red gpu1" in str(fact.data.get("output")) for fact in fleet.of("attempt.ended"))


def test_what_is_run_once_is_run_on_the_first_host_and_the_others_read_its_result(fleet):
    text = """
name: once
hosts: gpu
operations:
  - name: choose
    run_once: true
    command: {argv: [sh, -c, "echo {{ host }} >> ROOT/once; echo {{ host }}"]}
    timeout: 9s
    register: chosen
  - name: use
    shell: {script: "echo $WHO", env: {WHO: "{{ chosen.output | trim }}"}}
    mode: auto
    timeout: 9s
""".replace("ROOT", str(fleet.root))
    code, hosts = fleet.apply(text)
    assert code == 0, hosts
    (first,) = fleet.said("once")
    used = [fact.data["output"].strip() for fact in fleet.of("attempt.ended") if fact.operation == "use"]
    assert used == [first] * 4


def test_where_what_is_run_once_fails_no_host_goes_on(fleet):
    text = """
name: once
hosts: gpu
operations:
  - {name: choose, run_once: true, command: {argv: ["false"]}, timeout: 9s}
  - {name: use, command: {argv: [touch, "{{ root }}/used"]}, timeout: 9s}
"""
    code, _ = fleet.apply(text)
    assert code == 2
    assert not list(fleet.root.glob("gpu*/used"))
    (failed,) = [fact.host for fact in fleet.of("operation.ended") if fact.data["state"] == "failed"]
    left = [fact for fact in fleet.of("operation.ended") if fact.host != failed]
    assert {(fact.operation, fact.data["error"]) for fact in left} == {
        ("choose", f"it failed on {failed}"),
        ("use", f"`choose` failed on {failed}"),
    }
    assert all(fact.data["hindered"] for fact in left)


def test_a_host_lacks_nothing_that_a_detector_for_others_would_look_at(fleet):
    text = """
name: parts
hosts: all
detectors:
  - {name: of gpus, hosts: gpu, file: "{{ root }}/ill", when: exists, limit: 1 per 1h, recover: [{notify: ill}]}
  - {name: of none, hosts: "login:!login01", gpu: , when: temperature > 85, recover: [{notify: hot}]}
"""
    code, _ = fleet.apply(text)
    assert code == 0
    assert not fleet.of("look.absent")


def test_batches_follow_each_other_and_a_batch_that_fails_ends_the_run(fleet):
    text = """
name: rolling
hosts: gpu
serial: [1, 2]
max_fail_percentage: 0
operations:
  - name: update
    command: {argv: [sh, -c, "echo {{ host }} >> ROOT/updated; test {{ host }} != gpu2"]}
    timeout: 9s
""".replace("ROOT", str(fleet.root))
    code, _ = fleet.apply(text)
    assert code == 2
    assert fleet.said("updated")[0] == "gpu1"
    assert sorted(fleet.said("updated")[1:]) in (["gpu2", "gpu3"], ["gpu2"])
    assert len(fleet.of("run.halted")) == 1


def test_a_share_of_hosts_is_of_all_the_runbook_is_for_not_of_those_that_limit_leaves(fleet):
    make_ill(fleet, "gpu1", "gpu2", "gpu3")
    under, most = set(), 0

    def watch(fact):
        nonlocal most
        if fact.kind == "recovery.begun":
            under.add(fact.host)
        elif fact.kind == "recovery.ended":
            under.discard(fact.host)
        most = max(most, len(under))

    fleet.on_fact = watch
    code, _ = fleet.apply(ILL + "max_unavailable: 50%\n", limits=["gpu1,gpu2,gpu3"])
    assert code == 0
    assert most == 2  # of 4, not of 3


@pytest.mark.parametrize(("to", "place"), [("login01", "login01"), ("controller", "localhost")])
def test_a_delegated_step_is_carried_out_by_the_other_host_about_the_incidents_own(fleet, to, place):
    make_ill(fleet, "gpu2")
    text = ILL.replace(
        "    verify:",
        f"      - {{command: {{argv: [sh, -c, 'echo {{{{ host }}}} >> {fleet.root}/told']}}, delegate_to: {to}}}\n    verify:",
    )
    code, hosts = fleet.apply(text)
    assert code == 0, hosts
    assert fleet.said("told") == ["gpu2"]
    with os.scandir(fleet.root / "agents" / place / "agent" / "intents") as kept:
        assert any(kept)


def test_a_step_delegated_to_a_host_that_no_inventory_has_is_refused_before_anything_is_done(fleet):
    make_ill(fleet, "gpu2")
    with pytest.raises(UserError, match="delegated to `nowhere`, which is in no inventory"):
        fleet.apply(ILL.replace("verify:", "unhealed: [{command: ['true'], delegate_to: nowhere}]\n    verify:"))
    assert (fleet.root / "gpu2" / "ill").exists()


def test_a_host_that_cannot_be_reached_is_unknown_and_keeps_nobody_from_being_healed(fleet):
    make_ill(fleet, "gpu1", "gpu2", "gpu3", "gpu4")
    fleet.cuts["gpu3"].set()
    code, hosts = fleet.apply(ILL)
    assert code == 4
    assert hosts["gpu3"]["state"] == "unreachable"
    assert sorted(fleet.said("cures")) == ["gpu1", "gpu2", "gpu4"]
    assert [fact.data["reason"] for fact in fleet.of("host.unreachable")] == ["no route to it"]


SLOW = ILL.replace("echo {{ host }}", "sleep 1; echo {{ host }}")


def test_a_host_cut_off_in_the_middle_of_a_step_is_asked_when_it_is_back_and_nothing_is_done_twice(fleet):
    make_ill(fleet, "gpu1", "gpu2")

    def cut(fact):
        if fact.kind == "step.begun" and fact.host == "gpu2":
            threading.Timer(0.4, fleet.cuts["gpu2"].set).start()
            threading.Timer(2.5, fleet.cuts["gpu2"].clear).start()

    fleet.on_fact = cut
    code, _ = fleet.apply(SLOW)
    assert sorted(fleet.said("cures")) == ["gpu1", "gpu2"]
    assert [fact.data["to"] for fact in fleet.of("incident.ended")] == ["cured", "cured"]
    assert code == 0


def test_a_host_that_stays_away_leaves_its_step_to_the_next_pass_which_asks_and_does_not_do_it_twice(fleet):
    make_ill(fleet, "gpu1", "gpu2")

    def cut(fact):
        if fact.kind == "step.begun" and fact.host == "gpu2":
            threading.Timer(0.4, fleet.cuts["gpu2"].set).start()

    fleet.on_fact = cut
    code, hosts = fleet.apply(SLOW, wait=3.0)
    assert code == 4
    assert hosts["gpu2"]["state"] == "unreachable"
    assert sorted(fleet.said("cures")) == ["gpu1", "gpu2"]  # the host went on without us
    fleet.on_fact = lambda fact: None
    fleet.cuts["gpu2"].clear()
    code, hosts = fleet.apply(SLOW)
    assert code == 0, hosts
    assert sorted(fleet.said("cures")) == ["gpu1", "gpu2"]
    assert [(fact.host, fact.data["to"]) for fact in fleet.of("incident.ended")] == [("gpu2", "cured")]


def test_after_its_deadline_a_run_begins_nothing_new(fleet):
    make_ill(fleet, "gpu1", "gpu2", "gpu3", "gpu4")
    text = ILL.replace("echo {{ host }}", "sleep 1.5; echo {{ host }}") + "max_unavailable: 1\n"

    def over(fact):
        if fact.kind == "step.begun":
            fleet.session._pass._halting._deadline = time.time()

    fleet.on_fact = over
    code, _ = fleet.apply(text, deadline=3600.0)
    assert code == 2
    assert len(fleet.said("cures")) == 1
    assert [fact.data["reason"] for fact in fleet.of("run.halted")] == ["its --deadline is over"]


def test_ctrl_c_begins_nothing_new_and_the_steps_in_hand_are_awaited(fleet):
    make_ill(fleet, "gpu1", "gpu2", "gpu3", "gpu4")

    def stop(fact):
        if fact.kind == "step.begun":
            fleet.session.interrupt()

    fleet.on_fact = stop
    code, _ = fleet.apply(SLOW + "max_unavailable: 1\n")
    assert code == 130
    assert len(fleet.said("cures")) == 1
    assert len(fleet.of("step.ended")) == 1


def test_no_thread_and_no_descriptor_is_left_behind(fleet):
    make_ill(fleet, "gpu1", "gpu2", "gpu3", "gpu4")
    fleet.apply(ILL)
    before = threading.active_count(), descriptors()
    make_ill(fleet, "gpu1", "gpu2", "gpu3", "gpu4")
    fleet.cuts["gpu4"].set()
    fleet.apply(ILL)
    deadline = time.monotonic() + 5
    while threading.active_count() > before[0] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (threading.active_count(), descriptors()) == before


def test_a_step_delegated_to_a_host_that_cannot_be_reached_fails_and_says_which(fleet):
    make_ill(fleet, "gpu2")
    fleet.cuts["login01"].set()
    text = ILL.replace("    verify:", "      - {command: ['true'], delegate_to: login01}\n    verify:")
    code, hosts = fleet.apply(text, limits=["gpu2"])
    assert code == 2
    (incident,) = hosts["gpu2"]["incidents"]
    assert (hosts["gpu2"]["state"], incident["state"]) == ("unhealthy", "unhealed")
    assert "login01 can't be reached: no route to it" in incident["steps"][-1]["error"]


def test_operations_alone_leave_out_a_host_that_cannot_be_reached_and_the_next_run_has_nothing_to_ask(fleet):
    text = """
name: ops
hosts: gpu
operations: [{name: touch, command: {argv: [touch, "{{ root }}/touched"]}, timeout: 9s}]
"""
    fleet.cuts["gpu3"].set()
    code, hosts = fleet.apply(text)
    assert (code, hosts["gpu3"]["state"]) == (4, "unreachable")
    assert not fleet.of("host.reached")
    fleet.cuts["gpu3"].clear()
    began = time.monotonic()
    assert fleet.apply(text)[0] == 0
    assert time.monotonic() - began < 20
    assert (fleet.root / "gpu3" / "touched").exists()


def test_members_of_a_pool_that_name_hosts_are_asked_there_and_the_majority_of_hosts_counts(fleet):
    text = """
name: vote
hosts: localhost
operations:
  - name: ask
    pool: replicas
    redundancy: 3
    command: {argv: [sh, -c, "echo {{ member.host }} >> ROOT/asked; cat ROOT/{{ member.host }}/answer"]}
    timeout: 9s
    register: answer
pools:
  replicas: {members: [{name: a, host: gpu1}, {name: b, host: gpu2}, {name: c, host: gpu3}]}
""".replace("ROOT", str(fleet.root))
    for name, said in (("gpu1", "41"), ("gpu2", "42"), ("gpu3", "42")):
        (fleet.root / name / "answer").write_text(said)
    code, hosts = fleet.apply(text)
    assert code == 0, hosts
    assert sorted(fleet.said("asked")) == ["gpu1", "gpu2", "gpu3"]
    for name in ("gpu1", "gpu2", "gpu3"):
        assert any((fleet.root / "agents" / name / "agent" / "intents").iterdir())


class Lying(Hosts):
    """Of one host's answers about steps, the test's own words come instead."""

    def __init__(self, dial, host, says):
        super().__init__(dial)
        self._host, self._says, self._theirs = host, says, set()

    def send(self, host, request, user=""):
        ticket = super().send(host, request, user)
        if host == self._host and request.get("op") in {"run", "ask"}:
            self._theirs.add(ticket)
        return ticket

    def receive(self, timeout):
        return [
            (ticket, self._says if ticket in self._theirs else answer) for ticket, answer in super().receive(timeout)
        ]


def test_a_host_that_says_for_ever_that_it_never_began_a_step_is_asked_twice_and_no_more(fleet):
    text = """
name: ops
hosts: gpu
operations: [{name: touch, command: {argv: [touch, "{{ root }}/touched"]}, timeout: 9s}]
"""
    lying = Lying(fleet.dial, "gpu2", {"known": "lost", "result": None, "begun": False})
    code, hosts = fleet.apply(text, hosts=lying)
    assert code == 2
    assert [hosts[name]["operations"][0]["state"] for name in ("gpu1", "gpu2", "gpu3")] == [
        "succeeded",
        "failed",
        "succeeded",
    ]
    assert sum(fact.host == "gpu2" for fact in fleet.of("step.begun")) == 2


def test_a_delegate_that_vanishes_is_named_itself_and_not_the_host_that_the_step_is_about(fleet):
    make_ill(fleet, "gpu2")

    begun = fleet.root / "login01/begun"

    def cut():
        until = time.monotonic() + 30.0
        while not begun.exists() and time.monotonic() < until:
            time.sleep(0.01)
        fleet.cuts["login01"].set()

    threading.Thread(target=cut).start()
    step = f"{{command: {{argv: [sh, -c, 'touch {begun}; sleep 1']}}, delegate_to: login01}}"
    text = ILL.replace("    recover:\n", f"    recover:\n      - {step}\n")
    code, hosts = fleet.apply(text, limits=["gpu2"], wait=2.0)
    assert code == 2  # its recovery is open
    assert hosts["login01"]["state"] == "unreachable"
    assert hosts["gpu2"]["state"] != "unreachable"


def test_a_batch_of_which_every_host_failed_is_the_last_one_as_in_ansible(fleet):
    text = """
name: rolling
hosts: gpu
serial: 1
operations:
  - name: update
    command: {argv: [sh, -c, "echo {{ host }} >> ROOT/updated; exit 1"]}
    timeout: 9s
""".replace("ROOT", str(fleet.root))
    assert fleet.apply(text)[0] == 2
    assert fleet.said("updated") == ["gpu1"]


def test_what_is_run_once_is_run_on_the_first_of_the_hosts_that_can_come_to_it(fleet):
    text = """
name: once
hosts: gpu
operations:
  - {name: sleep, command: {argv: [sh, -c, "test {{ host }} != gpu1 || exit 1"]}, timeout: 9s}
  - {name: once, run_once: true, command: {argv: [sh, -c, "echo {{ host }} >> ROOT/once"]}, timeout: 9s}
""".replace("ROOT", str(fleet.root))
    fleet.apply(text)
    assert fleet.said("once") == ["gpu2"]


def test_a_var_that_one_host_lacks_is_told_with_the_name_of_that_host(fleet):
    inventory = (
        fleet.inventory.read_text()
        .replace("gpu[1:4]:", "gpu[1:4]: {only: ROOT}\n    gpu9: {}")
        .replace("ROOT", str(fleet.root))
    )
    fleet.inventory.write_text(inventory)
    with pytest.raises(UserError) as told:
        fleet.apply(ILL.replace('writable: ["{{ root }}"]', 'writable: ["{{ only }}"]'))
    assert "gpu9" in str(told.value)


def test_a_host_that_makes_up_subjects_opens_no_more_than_some_at_once(fleet):
    class Many(Hosts):
        def receive(self, timeout):
            found = super().receive(timeout)
            for _, answer in found:
                for look in answer.get("looks", ()) if isinstance(answer, dict) else ():
                    if look.get("records") and look["records"][0]["fields"].get("exists"):
                        look["records"] = [
                            {**look["records"][0], "subject": f"made up {number}"} for number in range(400)
                        ]
            return found

    make_ill(fleet, "gpu2")
    text = ILL.replace("    recover:", "    mode: observe\n    recover:")
    _, hosts = fleet.apply(text, limits=["gpu2"], hosts=Many(fleet.dial))
    assert len(hosts["gpu2"]["incidents"]) == 256
    assert "left for the next pass" in hosts["gpu2"]["unknown"][0]["reason"]

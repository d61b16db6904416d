"""What a runbook needs of its machine, and what of it a unit leaves open. The real thing: tests/system/test_install.py."""

import textwrap

import pytest

from runbook.engine import intake
from runbook.engine.among import Chosen
from runbook.engine.decide.guards import Caps
from runbook.engine.install import ground, needs, outgrown, sandbox
from runbook.engine.install.needs import Need
from runbook.engine.model import Impact, Mode
from runbook.engine.recover.state import Settings
from runbook.engine.start import Request
from runbook.modules import catalogue

OWN_STEP = '''
"""The step `poke`."""
from dataclasses import dataclass
from typing import List
from runbook.modules.actions import Action, Run
from runbook.modules.declare import Impact, Step
from runbook.modules.host import Host

@dataclass(frozen=True)
class Poke(Step):
    """Poke it.

    Example:
        - poke: it
    """

    impact = Impact.LOW
    what: str  # what

    def plan(self, host: Host) -> List[Action]:
        """Poke."""
        return []
'''


@pytest.fixture
def load(tmp_path):
    def made(text, **vars_):
        file = tmp_path / "x.yaml"
        head = "name: x\nlimit: 3 per 1h\n"
        file.write_text(head + textwrap.dedent(text))
        return intake.load(file, vars_)

    return made


def asked(runbook, hosts=(), users=None):
    settings = Settings(Caps(Mode.AUTO, Impact.DESTRUCTIVE, False), False, False, frozenset(), frozenset(), True)
    chosen = Chosen(tuple(hosts), max(1, len(hosts)), users or {})
    return Request(runbook, "watch", settings, hosts=chosen.hosts, size=chosen.size, users=chosen.users)


def confined(runbook, reads=("/opt/runbook",), system=True):
    return ground.ground(ground.Watched((asked(runbook),), reads, system=system))


def values(found, name):
    return [setting.value for setting in sandbox.settings(found) if setting.name == name]


def detectors(probe, *steps):
    recover = f"\n    recover: [{', '.join(steps)}]" if steps else ""
    return f"detectors:\n  - name: d\n    {probe}{recover}\n    verify: {{for: 1s}}\n"


@pytest.mark.parametrize("noun", ["step", "probe"])
def test_what_is_said_of_modules_is_said_of_those_that_there_are(noun):
    assert sorted(needs.listed(noun) - set(catalogue.bundled(noun))) == []
    assert "call" not in needs.listed(noun)  # functions of the user's


def test_a_module_of_the_users_own_may_need_everything(tmp_path, load):
    (tmp_path / "runbook_modules/steps").mkdir(parents=True)
    (tmp_path / "runbook_modules/steps/poke.py").write_text(OWN_STEP)
    runbook = load(detectors("health:\n    when: load1 > 1", "{poke: it}"))
    assert needs.of(runbook)[Need.EVERYTHING] == ("poke",)


@pytest.mark.parametrize(
    ("text", "who"),
    [
        (detectors("health:\n    when: load1 > 1", "{command: [touch, /srv/x]}"), "command"),
        (detectors("health:\n    when: load1 > 1", "{shell: touch /srv/x}"), "shell"),
        (detectors("command: [ls]\n    when: exit_code != 0"), "command"),
        (detectors("metric: {command: [cat, /srv/x]}\n    when: value > 1"), "metric"),
        (detectors("health:\n    when: load1 > 1", "{wait_for: {probe: {command: [ls]}, when: exit_code == 0}}"), "command"),
        (detectors("daemon: /run/x.pid\n    when: not alive", "{restart_daemon: {unit: /run/x.pid, start: [/opt/x]}}"), "restart_daemon"),
        (detectors("port: 1\n    when: not open", '{reconnect: {address: "127.0.0.1:1", command: [nmcli, up]}}'), "reconnect"),
    ],
    ids=lambda part: part if " " not in part else "",
)  # fmt: skip
def test_programs_of_the_runbook_leave_everything_open_and_the_unit_says_so(load, text, who):
    found = confined(load(text))
    assert found.needs[Need.EVERYTHING] == (who,)
    (only,) = sandbox.settings(found)
    assert only.name == ""
    assert only.why.startswith("Nothing is confined: programs of the runbook's own")
    assert f"`{who}`" in only.why


def test_a_look_alone_leaves_next_to_nothing_open(load):
    found = confined(load(detectors("http: http://127.0.0.1:1/\n    when: status != 200")))
    assert found.needs == {}
    assert values(found, "CapabilityBoundingSet") == ["CAP_DAC_READ_SEARCH"]
    assert values(found, "ProtectHome") == ["yes"]
    assert values(found, "PrivateTmp") == ["yes"]
    assert values(found, "PrivateDevices") == ["yes"]
    assert values(found, "ReadWritePaths") == []


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        (detectors("log: {kernel: true, patterns: x}\n    when: line == 'x'", "{notify: x}"), "DeviceAllow", ["/dev/kmsg r"]),
        (detectors("log: {kernel: true, patterns: x}\n    when: line == 'x'", "{notify: x}"), "ProtectKernelLogs", []),
        (detectors("log: {paths: /srv/x.log, patterns: x}\n    when: line == 'x'", "{notify: x}"), "ProtectKernelLogs", ["yes"]),
        (detectors("gpu:\n    when: temperature > 90"), "PrivateDevices", []),
        (detectors("gpu:\n    when: temperature > 90"), "ProtectClock", []),  # it would close all devices
        (detectors("gpu:\n    when: temperature > 90"), "CapabilityBoundingSet", []),
        (detectors("file: /home/ann/x\n    when: exists"), "ProtectHome", ["read-only"]),
        (detectors("file: '~/x'\n    when: exists"), "ProtectHome", ["read-only"]),
        (detectors("daemon: {unit: x, scope: user}\n    when: not alive"), "ProtectHome", ["read-only"]),
        (detectors("file: /tmp/x.sock\n    when: not exists"), "PrivateTmp", []),
        (detectors("file: /tmp/x.sock\n    when: not exists"), "ReadWritePaths", ["/tmp", "/var/tmp"]),
    ],
)  # fmt: skip
def test_what_a_probe_must_see_is_left_open(load, text, name, value):
    assert values(confined(load(text)), name) == value


def test_code_that_lies_in_a_home_can_be_read(load):
    found = confined(load(detectors("port: 1\n    when: not open")), reads=("/root/venv",))
    assert values(found, "ProtectHome") == ["read-only"]


def test_only_writable_trees_are_written_each_once(load, tmp_path):
    text = (
        f"vars: {{root: {tmp_path}/app}}\nwritable: ['{{{{ root }}}}', '{{{{ root }}}}/below', '{tmp_path}/later/on']\n"
    )
    (tmp_path / "app/below").mkdir(parents=True)
    found = confined(
        load(text + detectors("file: /srv/x\n    when: exists", "{chown: {path: '{{ root }}/x', owner: root}}"))
    )
    # one below another would be a mount that no step crosses; what is not there is made by its parent
    assert found.writes == ("/tmp", "/var/tmp") if str(tmp_path).startswith("/tmp") else (str(tmp_path),)
    assert sandbox.outermost(["/srv/a/b", "/srv/a", "/srv/ab", "/srv/a"]) == ("/srv/a", "/srv/ab")


def test_another_user_on_this_machine_is_reached_by_sudo_which_needs_everything(load):
    runbook = load("become: true\nbecome_user: nobody\n" + detectors("port: 1\n    when: not open"))
    assert confined(runbook).needs[Need.EVERYTHING] == ("sudo (`become: nobody`)",)


def test_the_modules_of_other_hosts_open_nothing_here(load, tmp_path):
    from runbook.engine.inventory import inventory

    file = tmp_path / "hosts.yaml"
    file.write_text("all: {hosts: {far1: {}, far2: {}}}")
    hosts = inventory.load([str(file)]).matching("all")
    runbook = load("hosts: all\n" + detectors("gpu:\n    when: temperature > 90", "{command: [ls]}"))
    found = ground.ground(ground.Watched((asked(runbook, hosts),), ("/opt/runbook",)))
    assert found.needs == {Need.HOME: ("ssh",)}
    assert values(found, "ProtectProc") == ["invisible"]
    assert values(found, "ProtectHome") == ["read-only"]
    delegated = load(
        "hosts: all\n" + detectors("gpu:\n    when: temperature > 90", "{command: [ls], delegate_to: controller}")
    )
    assert Need.EVERYTHING in ground.ground(ground.Watched((asked(delegated, hosts),), ())).needs


def test_a_users_systemd_is_asked_for_what_it_can_do(load):
    found = confined(load(detectors("port: 1\n    when: not open")), system=False)
    names = {setting.name for setting in sandbox.settings(found)}
    assert {"NoNewPrivileges", "SystemCallFilter", "RestrictAddressFamilies"} <= names
    assert not {"ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "CapabilityBoundingSet"} & names


LOOK = detectors("port: 1\n    when: not open")
GROWN = {
    LOOK: [],
    detectors("port: 1\n    when: not open", "{command: [ls]}"): ["ProtectSystem", "CapabilityBoundingSet"],
    detectors("file: /tmp/x\n    when: exists"): ["PrivateTmp", "ReadWritePaths"],
    detectors("file: /home/x\n    when: exists"): ["ProtectHome"],
    detectors("gpu:\n    when: temperature > 90"): ["PrivateDevices", "ProtectClock", "SystemCallFilter", "CapabilityBoundingSet"],
    detectors("process: x\n    when: count > 0", "{signal: {match: x}}"): ["CapabilityBoundingSet"],
    "writable: [/usr/local/lib]\n" + LOOK: ["ReadWritePaths"],
}  # fmt: skip


@pytest.mark.parametrize("text", GROWN)
def test_a_unit_that_became_too_tight_is_told_by_what(load, text):
    def unit_of(text):
        given = {}
        for setting in sandbox.settings(confined(load(text))):
            given.setdefault(setting.name, []).append(setting.value)
        given.pop("", None)
        return given

    later = sandbox.settings(confined(load(text)))
    assert set(GROWN[text]) <= set(outgrown.lacking(unit_of(LOOK), later))
    assert bool(outgrown.lacking(unit_of(LOOK), later)) == bool(GROWN[text])
    assert outgrown.lacking(unit_of(text), later) == []
    assert outgrown.lacking(unit_of(text), sandbox.settings(confined(load(LOOK)))) == []  # what is wider does no harm

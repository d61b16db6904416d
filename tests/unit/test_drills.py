"""Files of drills: what they say, and what is wrong with one, at its place; nothing of it is done here."""

from __future__ import annotations

import sys

import pytest

from runbook.engine.language import drills

RUNBOOK = """
name: serve
vars: {root: /srv/llm, unit: vllm, start: []}
writable: ["{{ root }}"]
secrets: {token: {env: TOKEN}}
operations:
  - name: fetch
    command: curl -fO http://127.0.0.1:8000/model.bin
    timeout: 1m
detectors:
  - name: server down
    daemon: {unit: "{{ unit }}"}
    when: not alive
    recover: [{restart_daemon: {unit: "{{ unit }}", start: "{{ start }}"}}]
  - name: cache full
    file: "{{ root }}/cache"
    when: size > 1GB
  - name: cut off
    error: 'timed out'
    retry: {attempts: 3}
  - name: busy
    file: "{{ root }}/busy"
    when: exists
  - name: down and busy
    all: [server down, busy]
    within: 1m
    recover: [{notify: both}]
    verify: {for: 1s}
"""
DRILL = """
vars:
  root: "{{ scratch }}"
  unit: "{{ daemons.server.pidfile }}"
  start: "{{ daemons.server.start }}"
within: 20s
undrilled: {down and busy: it follows from the others}
given:
  env: {A: 1}
  ports: [spare]
  files: {cache/: , a.json: {json: {port: "{{ ports.spare }}"}}, token: {content: x, mode: "0600", age: 1h}}
  disks: {small: 8MB}
  daemons: {server: {start: "python3 serve.py {{ scratch }}", ready: {port: spare}}}
  servers: {hub: {folder: www, answers: {/x: {delay: 100ms}, /y: hang}}}
faults:
  - name: killed
    detector: server down
    inject: {kill: server}
    steps: [restart_daemon]
  - name: full
    detector: cache full
    inject: [{fill: {path: small, leave: 1kB}}, {wait: 1m}]
    given: {disks: {small: 4MB, other: 1MB}, env: {B: x}}
    every: 2s
    now: true
    needs: root
  - name: cut
    detector: cut off
    inject: {server: {hub: {cut: 100, times: 1}}}
  - name: broken once
    operation: fetch
    inject: {server: {hub: {status: 503}}}
"""


@pytest.fixture
def examine(tmp_path):
    def examined(drill, runbook=RUNBOOK):
        (tmp_path / "serve.yaml").write_text(runbook, encoding="utf-8")
        file = tmp_path / "serve.drill.yaml"
        file.write_text(drill, encoding="utf-8")
        return drills.examine(file)

    return examined


@pytest.fixture
def drill(examine):
    found, findings, _ = examine(DRILL)
    assert findings == []
    return found


def test_the_runbook_is_led_into_the_place(drill):
    assert drill.runbook.vars["root"] == "/drill"
    assert drill.runbook.vars["unit"] == "/drill/run/server.pid"
    assert drill.runbook.vars["start"] == ["python3", "serve.py", "/drill"]
    assert drill.secrets == {"token": "secret-token"}


def test_what_has_no_fault_is_told_but_for_inputs_and_what_has_a_reason(drill):
    assert drill.undrilled == {"down and busy": "it follows from the others"}
    assert drill.uncovered == ()


def test_paths_are_whole_and_quantities_are_numbers(drill):
    given = drill.faults[0].given
    assert given.disks == {"/drill/small": 8_000_000}
    assert [(one.path, one.folder) for one in given.files] == [
        ("/drill/cache", True), ("/drill/a.json", False), ("/drill/token", False),
    ]  # fmt: skip
    assert given.files[1].content == '{\n  "port": 20000\n}\n'
    assert (given.files[2].mode, given.files[2].age) == (0o600, 3600)
    assert given.env == {"A": "1"}


def test_a_server_is_a_daemon_of_its_name_and_comes_first(drill):
    hub, server = drill.faults[0].given.daemons
    assert (hub.name, hub.pidfile, hub.ready) == ("hub", "/drill/run/hub.pid", ("port", "20001"))
    assert (server.name, server.ready) == ("server", ("port", "20000"))
    assert hub.start[0] == sys.executable
    [serving] = drill.faults[0].given.servers
    assert (serving.port, serving.folder) == (20001, "/drill/www")
    assert serving.answers == {"/x": {"delay": 0.1}, "/y": {"how": "hang"}}


def test_a_fault_has_its_own_over_what_the_file_gives(drill):
    fault = drill.faults[1]
    assert fault.given.disks == {"/drill/small": 4_000_000, "/drill/other": 1_000_000}
    assert fault.given.env == {"A": "1", "B": "x"}
    assert (fault.every, fault.now, fault.needs, fault.within) == (2, True, ("root",), 20)
    assert [each.kind for each in fault.injections] == ["fill", "wait"]
    assert dict(fault.injections[0].params) == {
        "path": "/drill/small",
        "leave": 1000,
        "as": "/drill/small/filled-by-the-drill",
    }


def test_what_is_expected_goes_by_what_the_detector_does(drill):
    assert [(fault.about, fault.expect) for fault in drill.faults] == [
        ("server down", "cured"), ("cache full", "open"), ("cut off", "cured"), ("fetch", "succeeded"),
    ]  # fmt: skip


def test_operations_run_before_faults_and_after_those_that_are_about_them(drill):
    assert [fault.operations for fault in drill.faults] == ["before", "before", "after", "after"]


def changed(old, new):
    assert old in DRILL
    return DRILL.replace(old, new)


@pytest.mark.parametrize(
    ("text", "code", "line", "told"),
    [
        ("", "RB001", 1, "the file is empty"),
        ("faults: []\n", "RB006", 1, "the list is empty"),
        (changed("inject: {kill: server}", "inject: {kil: server}"), "RB007", 18, "`kil` is no key of an injection"),
        (changed("inject: {kill: server}", "inject: {kill: server, hang: server}"), "RB006", 18, "takes one of"),
        (changed("detector: cache full", "detector: cash full"), "RB012", 21, "there is no detector `cash full`"),
        (changed("inject: {kill: server}", "inject: {kill: sever}"), "RB012", 18, "there is no daemon or server in `given` `sever`"),
        (changed("steps: [restart_daemon]", "steps: [restart]"), "RB012", 19, "there is no step of this detector `restart`"),
        (changed("path: small,", "path: cache,"), "RB012", 22, "/drill/cache is no disk of this place"),
        (changed("inject: {kill: server}", "inject: {gpu: {ecc: 1}}"), "RB012", 18, "the place has 0 GPUs"),
        (changed("server: {hub: {cut", "server: {hup: {cut"), "RB012", 29, "there is no server in `given` `hup`"),
        (changed("small: 8MB", "small: 8MBs"), "RB011", 12, "8MBs"),
        (changed("within: 20s", "within: 20 apples"), "RB011", 6, "20 apples"),
        (changed("small: 8MB", "../small: 8MB"), "RB011", 12, "../small lies outside the scratch place"),
        (changed("ports.spare", "ports.spear"), "RB010", 11, "spear"),
        (changed('  root: "{{ scratch }}"', '  route: "{{ scratch }}"'), "RB012", 3, "there is no variable `route`"),
        (changed('  root: "{{ scratch }}"', "  root: /srv/llm"), "RB011", 3, "the runbook may write in /srv/llm"),
        (changed("{{ daemons.server.pidfile }}", "vllm"), "RB011", 3, "the unit `vllm` of `server down` would be one of this machine's"),
        (changed("name: full", "name: killed"), "RB015", 20, "there are two faults `killed`"),
        (changed("operation: fetch", "operation: fetch\n    detector: cut off"), "RB006", 30, "a fault is about one"),
        (changed("needs: root", "expect: succeeded"), "RB014", 26, "an incident does not end `succeeded`"),
        (changed("undrilled: {down and busy:", "undrilled: {server down:"), "RB006", 17, "`server down` is called undrilled"),
        (changed('mode: "0600"', 'mode: "rw"'), "RB011", 11, "rw is no mode"),
        (changed("a.json: {json", "a.json/: {json"), "RB011", 11, "a.json/ is a directory, which has no content"),
        (changed("hub: {folder: www,", "hub: {hub: true,"), "RB006", 14, "a hub needs a `folder`"),
        (changed("hub: {folder", "server: {folder"), "RB015", 13, "there is a server `server` too"),
    ],
    ids=lambda part: part[:30] if isinstance(part, str) else None,
)  # fmt: skip
def test_what_is_wrong_is_found_at_its_place(text, code, line, told, examine):
    found, findings, _ = examine(text)
    assert found is None
    assert (code, line) in {(each.code, each.span.line) for each in findings}, findings
    assert told in " ".join(each.message for each in findings)
    assert all(each.span.file.endswith("serve.drill.yaml") for each in findings)


def test_a_runbook_that_is_not_there_or_does_not_load_is_said(examine, tmp_path):
    _, findings, _ = examine("runbook: other.yaml\n" + DRILL)
    assert "there is no runbook" in findings[0].message
    _, findings, _ = examine(DRILL, RUNBOOK.replace("when: exists", "when: exists and"))
    assert [each.code for each in findings] == ["RB013"]
    assert "serve.yaml" in findings[0].message


def test_a_service_that_a_drill_brings_itself_is_no_unit_of_this_machine(examine):
    runbook = RUNBOOK.replace('{unit: "{{ unit }}"', '{manager: supervisor, unit: "{{ unit }}"')
    runbook = runbook.replace("restart_daemon: {manager", "restart_daemon: {config: '{{ root }}/s.conf', manager")
    runbook = runbook.replace("daemon: {manager", "daemon: {config: '{{ root }}/s.conf', manager", 1)
    runbook = runbook.replace(', start: "{{ start }}"', "")
    text = changed("{{ daemons.server.pidfile }}", "server")
    assert [each.message for each in examine(text, runbook)[1] if "unit" in each.message] == []


@pytest.mark.parametrize(
    ("manager", "unit", "mend"),
    [
        ("{manager: supervisor, ", "server", "its `config`"),
        ("{manager: supervisor, config: /etc/supervisor/supervisord.conf, ", "server", "its `config`"),
        ("{manager: runit, ", "server", "the service's directory, of a runsvdir that the drill starts"),
        ("{manager: runit, ", "/etc/service/server", "the service's directory"),
        ("{manager: runit, ", "{{ scratch }}/../etc/service/server", "the service's directory"),
    ],
)
def test_a_manager_outside_of_the_place_is_not_asked(examine, manager, unit, mend):
    runbook = RUNBOOK.replace('{unit: "{{ unit }}"', manager + 'unit: "{{ unit }}"')
    _, findings, _ = examine(changed("{{ daemons.server.pidfile }}", unit), runbook)
    assert [each for each in findings if each.code == "RB011" and mend in str(each)]

"""A unit's text: what it says of itself, and whether somebody changed it. systemd itself reads it in tests/system."""

from dataclasses import replace

import pytest

from runbook.engine.errors import UserError
from runbook.engine.install import plan, sandbox, unit
from runbook.engine.install.sandbox import Setting
from runbook.engine.install.unit import Service

SERVICE = Service(
    "runbook-x",
    ("/opt/r/bin/runbook", "watch", "--", "/etc/x.yaml"),
    ("x", "50% more"),
    ("/etc/my runbooks/x.yaml", "llm-deploy"),
    "/var/lib/runbook/journal.db",
    settings=(Setting("ProtectSystem", "strict", "a reason"), Setting(why="something is open")),
    grace=45.0,
    version=252,
)


def lines(service):
    return unit.text(service).splitlines()


def test_it_is_ours_until_the_mark_is_gone_and_unchanged_until_a_letter_is():
    text = unit.text(SERVICE)
    assert unit.ours(text)
    assert not unit.changed(text)
    assert unit.changed(text.replace("strict", "full"))
    assert unit.changed(text + "\n[Service]\nNice=5\n")
    assert not unit.ours("[Unit]\nDescription=theirs\n")


def test_it_says_what_it_watches():
    told = unit.told(unit.text(SERVICE))
    assert told["Runbooks"] == "x, 50%% more"
    assert told["Journal"] == "/var/lib/runbook/journal.db"


def test_what_systemd_knows_since_later_is_not_said_to_an_older_one():
    old, new = unit.text(SERVICE), unit.text(replace(SERVICE, version=255))
    assert "Type=notify\n" in old
    assert "ExecReload=/bin/kill -HUP $MAINPID" in old
    assert "RestartSteps" not in old
    assert "Type=notify-reload\n" in new
    assert "ExecReload" not in new
    assert "RestartMaxDelaySec=1min" in new


def test_it_has_more_time_to_stop_than_the_steps_in_hand():
    assert "TimeoutStopSec=75s" in lines(SERVICE)


def test_a_setting_stands_below_its_reason():
    text = lines(SERVICE)
    assert text[text.index("ProtectSystem=strict") - 1] == "# a reason"
    assert "# something is open" in text


def test_a_user_has_no_state_directory_of_the_machine():
    text = unit.text(replace(SERVICE, system=False))
    assert "StateDirectory" not in text
    assert "WantedBy=default.target" in text


@pytest.mark.parametrize("path", ["/srv/a b", "/srv/100%", '/srv/a"b', "/srv/plain"])
def test_a_path_is_one_word(path):
    import shlex

    assert shlex.split(sandbox.quoted(path))[0].replace("%%", "%") == path


@pytest.mark.parametrize(
    "path", ["/srv/a\nExecStartPre=/bin/evil", "/srv/a\\b", "/srv/a\\", "/srv/a\0b", "/srv/\"'", "/srv/a "]
)
def test_a_path_that_no_unit_can_name_is_refused(path):
    with pytest.raises(UserError, match="a unit can't name this path"):
        sandbox.quoted(path)


@pytest.mark.parametrize("path", ["/srv/a\nExecStartPre=/bin/evil", "/srv/a\\", "/srv/a\r", "/srv/a "])
@pytest.mark.parametrize("field", ["directory", "environment_file"])
def test_a_directory_and_a_file_of_the_environment_stay_within_their_line(field, path):
    with pytest.raises(UserError, match="a unit can't name this path"):
        unit.text(replace(SERVICE, **{field: path}))
    assert "=/srv/a\\b 100%%\n" in unit.text(replace(SERVICE, **{field: "/srv/a\\b 100%"}))


@pytest.mark.parametrize(
    "name", ["x\\", "x\\\\\\", "x\nExecStartPre=/bin/evil", "x\0ExecStartPre=/bin/evil", "a \\ " * 60]
)
def test_no_name_ends_its_line_or_swallows_the_next(name):
    because = (Setting("ProtectSystem", "strict", f"asked by {name}"),)
    text = unit.text(replace(SERVICE, runbooks=(name,), journal=f"/var/{name}", settings=because))
    assert not [line for line in text.splitlines() if (len(line) - len(line.rstrip("\\"))) % 2]
    assert not [line for line in text.splitlines() if line.startswith("ExecStartPre")]
    assert text.isprintable() or set(filter(lambda each: not each.isprintable(), text)) == {"\n"}
    assert text.splitlines()[-1].startswith("Digest=")
    assert not unit.changed(text)


def test_names_without_a_latin_letter_are_units_of_their_own():
    names = ["推理", "監視", "é", "..", "a é", "a ö", "a"]
    units = [plan._plain(name) for name in names]
    assert len(set(units)) == len(names)
    assert all(plan._NAME.fullmatch(unit) for unit in units)
    assert plan._plain("GPU fleet: node 7") == "GPU-fleet-node-7"

"""A unit's text: what it says of itself, and whether somebody changed it. systemd itself reads it in tests/system."""

from dataclasses import replace

import pytest

from runbook.engine.install import sandbox, unit
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

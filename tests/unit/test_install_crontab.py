"""Lines for cron, between marks, in a table that is somebody else's too. Real crons run them in tests/system."""

import subprocess

import pytest

from runbook.engine.errors import UserError
from runbook.engine.install import crontab
from runbook.engine.install.crontab import Line

THEIRS = "MAILTO=ops@example.org\n# backups\n0 3 * * * /usr/local/bin/backup\n"
LINE = Line(
    "runbook-x",
    "*/5 * * * *",
    ("/opt/r/bin/runbook", "watch", "--once", "-e", "a=50%", "--", "/etc/my runbooks/x.yaml"),
    ("x",),
    ("/etc/my runbooks/x.yaml",),
    "/var/lib/runbook/journal.db",
    {"PATH": "/usr/bin:/bin"},
    output="/var/lib/runbook/runbook-x.log",
)


def put(table, line=LINE):
    rest, _ = crontab.without(table, line.name)
    return rest + crontab.text(line, crontab.mailto(rest))


@pytest.mark.parametrize(
    ("every", "fields"),
    [
        (30.0, "* * * * *"),
        (60.0, "* * * * *"),
        (120.0, {"*/2 * * * *", "1-59/2 * * * *"}),
        (7 * 60.0, "/6 * * * *"),  # no divisor of an hour: sooner, and evenly
        (3600.0, " * * * *"),
        (2 * 86400.0, " 0 * * *"),
        ("0 4 * * mon", "0 4 * * mon"),
    ],
)
def test_cron_looks_as_often_as_the_runbook_says_or_as_it_can(every, fields):
    found, note = crontab.when(every, "runbook-x")
    assert found in fields if isinstance(fields, set) else found.endswith(fields)
    assert ("once a minute" in note) == (every == 30.0)
    from runbook.engine.language import cron

    assert cron.parse(found) == found.lower()


def test_a_fleet_does_not_look_at_the_same_minute():
    assert len({crontab.when(3600.0, f"runbook-{number}")[0] for number in range(50)}) > 20


def test_what_is_put_is_what_is_taken_away():
    table = put(THEIRS)
    assert table.startswith(THEIRS)
    (block,) = crontab.blocks(table)
    assert (block.name, block.changed, block.about["runbooks"]) == ("runbook-x", False, ["x"])
    assert crontab.without(table, "runbook-x") == (THEIRS, [])
    assert put(table) == table
    assert crontab.without(table, "runbook-y") == (table, [])


def test_what_others_wrote_meanwhile_stays_where_it_is():
    table = put(THEIRS) + "5 5 * * * after\n"
    table = table.replace("# runbook install: end", "6 6 * * * between\n# runbook install: end")
    (block,) = crontab.blocks(table)
    assert block.changed
    rest, strange = crontab.without(table, "runbook-x")
    assert rest == THEIRS + "6 6 * * * between\n5 5 * * * after\n"
    assert strange == ["6 6 * * * between"]


def test_a_mark_that_is_gone_takes_nothing_of_others_along():
    table = put(THEIRS).replace("# runbook install: end\n", "") + "5 5 * * * after\n"
    assert crontab.without(table, "runbook-x")[0] == THEIRS + "5 5 * * * after\n"


def test_the_mail_of_the_lines_below_goes_where_it_went():
    from dataclasses import replace

    mailed = replace(LINE, output="", mailto="oncall@example.org")
    table = put(THEIRS, mailed)
    assert [line for line in table.splitlines() if line.startswith("MAILTO")] == [
        "MAILTO=ops@example.org",
        'MAILTO="oncall@example.org"',
        'MAILTO="ops@example.org"',
    ]
    assert crontab.without(table, "runbook-x")[0] == THEIRS


def test_a_command_means_the_same_to_cron_and_sh(tmp_path):
    from dataclasses import replace

    odd = ("a b", "50%", "it's", "$HOME", "`id`", '"q"', "back\\slash", "*")
    line = replace(
        LINE, argv=("printf", "%s\\n", *odd), output=str(tmp_path / "out put"), directory=str(tmp_path), environment={}
    )
    (command,) = [each for each in crontab.text(line, "me").splitlines() if each.startswith("*/5")]
    typed = command.split(maxsplit=5)[5].replace("\\%", "%")  # what cron does before sh gets it
    subprocess.run(["sh", "-c", typed], check=True)
    assert (tmp_path / "out put").read_text().splitlines() == list(odd)


def test_a_command_that_cron_would_cut_is_refused():
    from dataclasses import replace

    with pytest.raises(UserError, match="cron takes no command of"):
        crontab.text(replace(LINE, argv=("runbook", "x" * 1000)))


def test_a_schedule_is_one():
    assert crontab.check(" */5  * * * *") == "*/5 * * * *"
    with pytest.raises(UserError, match="minute"):
        crontab.check("61 * * * *")
    with pytest.raises(UserError, match="has five fields"):
        crontab.check("5 minutes")

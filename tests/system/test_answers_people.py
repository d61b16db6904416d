"""People have their say: approvals, acknowledgements, maintenance, released and reset things, and who said it."""

from __future__ import annotations

import getpass

import pytest

ASKS = """
name: asks
writable: ["{home}"]
detectors:
  - name: too big
    file: "{home}/*.big"
    when: size > 3
    mode: approve
    recover: [{{command: {{argv: [rm, "{home}/a.big"], creates: "{home}/never"}}}}]
    verify: {{every: 100ms, within: 2s}}
"""


@pytest.fixture
def book(cli):
    cli.write("a.big", "x" * 10)
    return cli.write("asks.yaml", ASKS.format(home=cli.home))


def waiting(cli, book):
    assert cli("apply", book).exit_code == 3
    (one,) = cli.json("approvals").json["approvals"]
    return one


def state(cli):
    (one,) = cli.json("status").json["incidents"]
    return one["state"], one["reason"] or ""


def test_what_waits_is_shown_approved_and_carried_out_by_the_next_pass(cli, book):
    one = waiting(cli, book)
    assert one["steps"][0]["params"]["argv"] == ["rm", str(cli.home / "a.big")]
    assert (one["steps"][0]["impact"], one["allowed"]) == ("disruptive", False)
    shown = cli("approvals")
    assert shown.exit_code == 3
    assert f"runbook approve {one['id']}" in " ".join(shown.out.split())
    approved = cli("approve", one["id"][:4], "--reason", "go on")
    assert approved.exit_code == 0
    assert f"approved {one['id']}, too big on localhost" in approved.out
    again = cli("approvals")
    assert (again.exit_code, f"approved by {getpass.getuser()}@" in again.out) == (0, True)
    assert cli("apply", book).exit_code == 0
    assert not (cli.home / "a.big").exists()
    assert cli("approvals").out.startswith("Nothing waits for approval")
    told = cli("explain", one["id"]).out
    assert "approved  by " in told
    assert ": go on" in told
    assert "\n    state cured" in told
    kinds = [each["kind"] for each in cli.json("explain", one["id"]).json["story"]]
    assert kinds.index("guard.refused") < kinds.index("approval.given") < kinds.index("step.begun")


def test_what_was_rejected_is_not_asked_for_again_and_the_word_can_be_taken_back(cli, book):
    one = waiting(cli, book)
    assert cli("reject", one["id"], "--reason", "not today").exit_code == 0
    assert cli("apply", book).exit_code == 2
    assert (state(cli)[0], "not today" in state(cli)[1]) == ("observed", True)
    assert (cli.home / "a.big").exists()
    assert cli("approve", one["id"]).exit_code == 0
    assert cli("apply", book).exit_code == 0
    assert not (cli.home / "a.big").exists()


def test_one_wrong_id_among_several_approves_nothing(cli, book):
    one = waiting(cli, book)
    ran = cli("approve", one["id"], "nosuch")
    assert ran.exit_code == 1
    assert "there is no incident nosuch" in ran.err
    assert cli.json("approvals").json["approvals"][0]["said"] is None


def test_what_waits_for_nobody_can_not_be_approved(cli, book):
    book.write_text(book.read_text().replace("mode: approve", "mode: observe"))
    cli("apply", book)
    ident = cli.json("status").json["incidents"][0]["id"]
    ran = cli("approve", ident)
    assert ran.exit_code == 1
    assert f"{ident} is observed" in ran.err
    assert "waits for nobody's approval" in ran.err
    (cli.home / "a.big").unlink()
    cli("apply", book)
    ran = cli("approve", ident)
    assert ran.exit_code == 1
    assert f"{ident} is over: it ended" in ran.err


def test_an_acknowledged_incident_is_left_alone_until_it_is_given_back(cli, book):
    book.write_text(book.read_text().replace("mode: approve", "mode: auto\n    limit: 9\n    cooldown: 0s"))
    book.write_text(book.read_text().replace("[rm, ", "[ls, "))
    assert cli("apply", book).exit_code == 2
    assert cli("apply", book, "--max-mode", "observe").exit_code == 2
    ident = cli.json("status").json["incidents"][0]["id"]
    acked = cli("ack", ident, "--for", "2h", "--reason", "mine")
    assert (acked.exit_code, "nothing is begun about it until" in acked.out) == (0, True)
    book.write_text(book.read_text().replace("[ls, ", "[rm, "))
    assert cli("apply", book).exit_code == 2
    assert (cli.home / "a.big").exists()
    told = state(cli)
    assert told[0] == "suppressed"
    assert "mine" in told[1]
    assert "deals with it until" in " ".join(cli("status").out.split())
    assert cli("ack", ident, "--off").exit_code == 0
    assert cli("ack", ident, "--off").exit_code == 1
    assert cli("apply", book).exit_code == 0
    assert not (cli.home / "a.big").exists()
    late = cli("ack", ident)
    assert (late.exit_code, "is over: it ended cured" in late.err) == (1, True)


def test_under_maintenance_nothing_is_begun(cli, book):
    book.write_text(book.read_text().replace("mode: approve", "mode: auto"))
    begun = cli("maintenance", "local*", "--for", "2h", "--reason", "new disks")
    assert (begun.exit_code, begun.out[:25]) == (0, "maintenance of local* unt")
    assert cli("apply", book).exit_code == 2
    assert state(cli)[0] == "suppressed"
    assert "new disks" in state(cli)[1]
    (on,) = cli.json("maintenance").json["maintenance"]
    assert (on["hosts"], on["reason"], on["by"].split("@")[0]) == ("local*", "new disks", getpass.getuser())
    assert "new disks" in cli("maintenance").out
    assert "maint local* until" in " ".join(cli("status").out.split())
    guard = next(one for one in cli.json("explain", "too big").json["guards"] if one["guard"] == "maintenance")
    assert not guard["ok"]
    assert cli("maintenance", on["id"], "--off").exit_code == 0
    assert cli("maintenance").out.startswith("No maintenance is on")
    assert cli("apply", book).exit_code == 0


def test_maintenance_that_is_set_again_replaces_what_was_set(cli, book):
    cli("maintenance", "gpu*", "--for", "1h")
    cli("maintenance", "gpu*")
    (on,) = cli.json("maintenance").json["maintenance"]
    assert on["until"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["maintenance", "~[", "--for", "1h"], "is no regular expression"),
        (["maintenance", "gpu7", "--off"], "there is no journal"),
        (["maintenance", "gpu7", "--for", "soon"], "is not a duration"),
        (["maintenance", "gpu7", "--for", "0s"], "it must be longer than nothing"),
        (["maintenance", "--for", "1h"], "name the hosts"),
        (["maintenance", "gpu7", "--off", "--for", "1h"], "--off goes without"),
        (["approve", "7f2"], "there is no journal"),
        (["reject", "7f2"], "there is no journal"),
        (["ack", "7f2"], "there is no journal"),
        (["release", "7f2"], "there is no journal"),
        (["reset", "hub"], "there is no journal"),
        (["explain", "7f2"], "there is no incident 7f2"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_can_not_be_is_said_and_makes_no_journal(cli, words, said):
    ran = cli(*words)
    assert ran.exit_code == 1
    assert said in ran.err
    assert not (cli.home / "journal.db").exists()


FETCH = """
name: fetch
components: {{hub: {{breaker: {{failures: 3, timeout: 1h}}}}}}
operations:
  - name: fetch
    command: [test, -e, "{home}/online"]
    retry: {{strategy: immediate, attempts: 3}}
    component: hub
    timeout: 10s
"""


def test_a_component_that_was_reset_begins_anew(cli):
    runbook = cli.write("fetch.yaml", FETCH.format(home=cli.home))
    cli("apply", runbook)
    (hub,) = cli.json("status").json["components"]
    assert (hub["breaker"]["position"], hub["attempts"]) == ("open", 3)
    cli.write("online", "")
    assert cli("apply", runbook).exit_code == 2
    for words, said in (
        (["reset", "hubb"], "did you mean `hub`?"),
        (["reset", "hub", "-l", "gpu7"], "there is no host"),
    ):
        wrong = cli(*words)
        assert (wrong.exit_code, said in wrong.err) == (1, True)
    assert cli("reset", "hub").exit_code == 0
    (hub,) = cli.json("status").json["components"]
    assert (hub["breaker"]["position"], hub["attempts"]) == ("closed", 0)
    assert cli("apply", runbook).exit_code == 0


TWO = """
name: two
detectors:
  - name: left here
    file: "{home}/left/*"
    subject: "{{{{ path }}}}"
    when: exists
    mode: approve
    recover: [{{command: {{argv: [rm, "{home}/left/a", "{home}/left/b"]}}}}]
    verify: {{every: 100ms, within: 2s}}
  - name: other
    file: "{home}/other"
    when: exists
    mode: approve
    recover: [{{command: {{argv: [rm, "{home}/other"]}}}}]
    verify: {{every: 100ms, within: 2s}}
"""


def test_all_that_waits_of_a_detector_is_allowed_at_once_and_nothing_else(cli):
    for name in ("left/a", "left/b", "other"):
        cli.write(name, "x")
    book = cli.write("two.yaml", TWO.format(home=cli.home))
    assert cli("apply", book).exit_code == 3
    allowed = cli("approve", "--detector", "left here", "--host", "localhost")
    assert (allowed.exit_code, allowed.out.count("approved "), "other" in allowed.out) == (0, 1, False)
    left = [one["detector"] for one in cli.json("approvals").json["approvals"] if not one["allowed"]]
    assert left == ["other"]
    again = cli("approve", "--detector", "left here")
    assert (again.exit_code, "nothing of that waits for a person" in again.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name what it is about: ID, --detector, --runbook or --host"),
        (("--detector", "too bigg"), 'did you mean "too big"?'),
        (("--runbook", "nobody"), "there waits something of asks"),
    ],
)
def test_words_about_nothing_that_waits_are_refused_with_what_does(cli, book, words, said):
    waiting(cli, book)
    refused = cli("reject", *words)
    assert refused.exit_code == 1
    assert said in refused.err

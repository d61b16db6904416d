"""`notify` by channels: a real webhook and a real mail server on the loopback; ones that fail, hang, and are not known."""

import json
import os
import re
import socket
import threading
import time
from contextlib import closing
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiosmtpd.controller import Controller

SECRET = "s3cr3t-p4th-of-the-hook"
BOOK = """
name: disks
detectors:
  - name: disk full
    file: {flag}
    when: exists
    severity: high
    recover: [{{command: "true"}}]
    verify: {{within: 400ms, every: 100ms}}
    unhealed: [{{notify: {{message: "{message}"{more}}}}}]
"""


class Hook(BaseHTTPRequestHandler):
    def log_message(self, *_args):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, json.loads(body)))
        self.send_response(self.server.status)
        self.end_headers()


@pytest.fixture
def hook():
    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        server.got, server.status = [], 200
        server.address = f"json://127.0.0.1:{server.server_port}/{SECRET}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Mailbox:
    def __init__(self):
        self.got = []

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 -- aiosmtpd's name
        self.got.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=policy.default)))
        return "250 taken"


@pytest.fixture
def mail():
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    box.address = f"mailto://127.0.0.1:{port}/?from=runbook@example.org&to=oncall@example.org"
    yield box
    server.stop()


class Ill:
    """A fault that lasts as long as its flag is there, and the channels that hear of it."""

    def __init__(self, cli):
        self.cli = cli
        self.flag = cli.home / "ill"
        self.flag.touch()
        self.config = cli.home / "runbook.toml"

    def write(self, config, message="{{ incident.host }} is full", more=""):
        self.config.write_text(config)
        text = BOOK.format(flag=self.flag, message=message, more=more)
        return self.cli.write("disks.yaml", text)

    def apply(self, *words, book="disks.yaml", **env):
        return self.cli("apply", book, *words, env={"RUNBOOK_CONFIG": "", **env})

    def told(self, *words):
        lines = self.apply("--format", "jsonl", *words).out.splitlines()
        facts = [json.loads(line) for line in lines]
        return [(f["data"]["channel"], f["data"]["status"]) for f in facts if f["event"] == "channel.told"]


@pytest.fixture
def ill(cli):
    return Ill(cli)


def test_a_webhook_and_a_mail_server_get_the_message(ill, hook, mail):
    ill.write(f'[notify.channels]\nhook = "{hook.address}"\nmail = "{mail.address}"\n')
    ran = ill.apply("-v")
    assert ran.exit_code == 2
    ((path, said),) = hook.got
    assert (path, said["title"], said["type"]) == (f"/{SECRET}", "[high] disk full on localhost", "failure")
    number = re.search(r"incident ([0-9a-f]{8})", said["message"])[1]
    assert said["message"].startswith("localhost is full\n\ndisks, incident ")
    assert number in ran.out
    ((to, letter),) = mail.got
    assert (to, letter["subject"]) == (["oncall@example.org"], "[high] disk full on localhost")
    assert "localhost is full" in letter.get_body(("plain", "html")).get_content()
    assert "hook was told: localhost is full" in ran.out
    assert "mail was told: localhost is full" in ran.out
    assert "mail was told" in ill.cli("explain", number).out


def test_a_step_tells_only_the_channels_that_it_names(ill, hook, mail):
    ill.write(
        f'[notify]\ndefault = "mail"\n[notify.channels]\nhook = "{hook.address}"\nmail = "{mail.address}"\n',
        more=", channels: [hook]",
    )
    assert ill.told() == [("hook", "sent")]
    ill.write(ill.config.read_text())
    ill.flag.unlink()
    ill.apply()
    ill.flag.touch()
    assert ill.told() == [("mail", "sent")]


def test_the_same_fault_is_told_once_and_its_end_once(ill, hook):
    ill.write(f'[notify.channels]\nhook = "{hook.address}"\n')
    assert ill.told() == [("hook", "sent")]
    assert ill.told() == [("hook", "held")]
    held = ill.apply()
    assert "hook is not told again: told of this fault" in held.out
    ill.flag.unlink()
    over = ill.apply()
    assert (over.exit_code, "hook was told: that it is over" in over.out) == (0, True)
    assert ill.told() == []
    _, (_, said) = hook.got
    assert (said["type"], said["title"]) == ("success", "over: disk full on localhost")
    assert re.match(r"disk full is over on localhost: \S+, \S+ after it was told first", said["message"])
    ill.flag.touch()
    assert ill.told() == [("hook", "sent")]


def test_the_end_of_a_fault_is_told_by_the_runbook_s_own_words_where_it_has_some(ill, hook):
    book = ill.write(f'[notify.channels]\nhook = "{hook.address}"\n')
    text = book.read_text() + '    cured: [{notify: "well again"}]\n'
    text = text.replace(
        'recover: [{command: "true"}]', f'recover: [{{notify: "it is ill"}}, {{command: "rm {ill.flag}"}}]'
    )
    book.write_text(text)
    ran = ill.apply()
    assert ran.exit_code == 0
    assert [said["message"].partition("\n")[0] for _, said in hook.got] == ["it is ill", "well again"]


def test_what_could_not_be_seen_is_not_told_to_be_over(ill, hook):
    book = ill.write(f'[notify.channels]\nhook = "{hook.address}"\n')
    assert ill.told() == [("hook", "sent")]
    book.write_text(book.read_text() + "  - name: other\n    file: /nowhere\n    when: exists\n")
    ill.flag.unlink()
    assert ill.told("--detector", "other") == []
    assert ill.told() == [("hook", "sent")]


def test_no_more_than_so_many_messages_in_a_time(ill, hook):
    ill.config.write_text(f'[notify]\nlimit = "2 per 1h"\n[notify.channels]\nhook = "{hook.address}"\n')
    steps = "".join(f"  - {{name: say {n}, notify: number {n}, timeout: 10s}}\n" for n in range(4))
    ill.cli.write("many.yaml", f"name: many\noperations:\n{steps}")
    ran = ill.apply(book="many.yaml")
    assert ran.exit_code == 0
    assert sorted(said["message"].partition("\n")[0] for _, said in hook.got) == ["number 0", "number 1"]
    assert ran.out.count("hook is not told again: 2 messages in 1h are its limit") == 2


def test_a_channel_that_fails_is_told_plainly_and_shows_no_secret(ill, hook):
    hook.status = 403
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"json://me:{SECRET}@127.0.0.1:{unused.getsockname()[1]}/{SECRET}"
        ill.write(
            f'[notify.channels]\nhook = "{hook.address}"\ndead = "{dead}"\nodd = "nosuch://{SECRET}"\nlost = {{env = "NOT_SET"}}\n'
        )
        shown = [ill.apply("-vv"), ill.apply("--format", "jsonl"), ill.cli("history", env={"RUNBOOK_CONFIG": ""})]
    said = " ".join(shown[0].out.split())
    assert re.search("! hook was not told: Failed to send JSON [^!]*403", said)
    assert (
        "! dead was not told: A Connection error occurred sending JSON notification to 127.0.0.1: connection refused"
        in said
    )
    assert "! odd was not told: its address is none that apprise knows" in said
    assert "! lost was not told: the channel lost: the environment has no NOT_SET" in said
    kept = b"".join(path.read_bytes() for path in ill.cli.home.iterdir() if path.is_file() and path != ill.config)
    for text in (*(ran.out + ran.err for ran in shown), kept.decode("latin-1")):
        assert SECRET not in text


def test_who_could_not_be_told_is_tried_again_and_need_not_hear_of_the_end(ill, hook):
    hook.status = 500
    ill.write(f'[notify.channels]\nhook = "{hook.address}"\n')
    assert ill.told() == [("hook", "failed")]
    ill.flag.unlink()
    assert ill.told() == []
    ill.flag.touch()
    assert ill.told() == [("hook", "failed")]
    hook.status = 200
    assert ill.told() == [("hook", "sent")]


def test_a_channel_that_hangs_holds_a_pass_up_no_longer_than_its_time(ill, hook):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hang = f"json://127.0.0.1:{silent.getsockname()[1]}/{SECRET}?rto=60&cto=60"
        ill.write(f'[notify]\ntimeout = "8s"\n[notify.channels]\nhang = "{hang}"\nhook = "{hook.address}"\n')
        began = time.monotonic()
        ran = ill.apply("-v")
        assert time.monotonic() - began < 20
    assert "! hang was not told: it did not answer within 8 s" in ran.out
    assert "hook was told" in ran.out
    assert len(hook.got) == 1


def test_a_channel_that_nobody_knows_is_told_before_anything_begins(ill, hook):
    ill.write(f'[notify.channels]\noncall = "{hook.address}"\n', more=", channels: [onkall]")
    ran = ill.apply()
    assert (ran.exit_code, ran.out) == (1, "")
    assert "there is no channel `onkall`\n  did you mean `oncall`?" in ran.err
    ill.config.unlink()
    assert "name it in [notify.channels] of runbook.toml or ~/.config/runbook/config.toml" in ill.apply().err
    assert not (ill.cli.home / "journal.db").exists()
    assert ill.cli("lint", "disks.yaml").exit_code == 0


def test_without_channels_a_message_stands_in_the_report_alone(ill):
    ill.write("")
    ran = ill.apply()
    assert "> localhost is full" in ran.out
    assert "told:" not in ran.out
    assert ill.told() == []


def test_a_check_tells_nobody(ill, hook):
    ill.write(f'[notify.channels]\nhook = "{hook.address}"\n')
    ill.apply("--check")
    ill.cli("check", "disks.yaml", env={"RUNBOOK_CONFIG": ""})
    assert hook.got == []


def test_a_message_made_of_what_a_host_wrote_holds_no_control_characters(ill, hook):
    ill.write(
        f'[notify.channels]\nhook = "{hook.address}"\n',
        message="{{ incident.path }} \\e]0;owned\\a\\r\\n\\u202e is full",
    )
    ill.apply()
    ((_, said),) = hook.got
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", said["message"]) is None


def test_a_run_from_the_command_line_tries_a_channel(ill, hook):
    ill.config.write_text(f'[notify.channels]\nhook = "{hook.address}"\n')
    ran = ill.cli("run", "notify", "message=hello", "channels=hook", env={"RUNBOOK_CONFIG": ""})
    assert (ran.exit_code, len(hook.got)) == (0, 1)
    document = ill.cli.json("run", "notify", "message=hello", env={"RUNBOOK_CONFIG": ""}).host
    assert document["told"] == [
        {"channel": "hook", "status": "sent", "reason": None, "message": "hello", "cured": False}
    ]


def test_a_message_that_no_channel_takes_is_exit_2_and_stands_in_the_history(ill, hook):
    hook.status = 500
    ill.config.write_text(f'[notify.channels]\nhook = "{hook.address}"\n')
    env = {"RUNBOOK_CONFIG": ""}
    ran = ill.cli("run", "notify", "message=hello", env=env)
    assert (ran.exit_code, ran.out.splitlines()[-1]) == (2, "1 channel not told: see why above")
    assert 'reported "hello"' in ran.out
    document = json.loads(ill.cli("run", "notify", "message=hello", "--format", "json", env=env).out)
    assert (document["exit_code"], document["summary"]) == (2, "1 channel not told: see why above")
    history = ill.cli("history", env=env).out
    assert history.count("run: 1 channel not told") == 2
    assert "! hook was not told: " in history


def test_a_pass_that_heals_and_tells_nobody_says_so_in_its_last_line(ill, hook):
    hook.status = 500
    book = ill.write(f'[notify.channels]\nhook = "{hook.address}"\n')
    steps = f'[{{notify: "it is ill"}}, {{command: "rm {ill.flag}"}}]'
    book.write_text(book.read_text().replace('[{command: "true"}]', steps))
    ran = ill.apply()
    assert (ran.exit_code, ran.out.splitlines()[-1]) == (0, "1 healed, 1 channel not told: see why above")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[notify]\nlimits = 3\n", "[notify] has no `limits`\n  did you mean `limit`?"),
        ('[notify]\nlimit = "often"\n', "`limit` is no limit: often"),
        ('[notify]\nrepeat = "soon"\n', "`repeat` is no duration: soon"),
        ('[notify]\ndefault = ["x"]\n', "`default` names `x`, which is no channel"),
        (f'[notify.channels]\nx = "{SECRET}"\n', "the channel `x` has no address"),
        (f'[notify.channels]\nx = {{url = "{SECRET}", env = "A"}}\n', "the channel `x` has no address"),
        ("[notifi]\n", "`notifi` means nothing here\n  did you mean [notify]?"),
        ("notify = 3\n", "`notify` is a table"),
        ("[notify\n", "this is no TOML"),
        ('[defaults.apply]\nfromat = "json"\n', "`runbook apply` has no option `--fromat`\n  did you mean `format`?"),
        (
            '[defaults.apply]\nmax-mode = "aprove"\n',
            "[defaults.apply] max-mode: 'aprove' is not one of 'observe', 'approve', 'auto'\n  did you mean \"approve\"?",
        ),
        ('[defaults]\njornal = "x"\n', "no command has an option `--jornal`"),
        ('[defaults.aply]\nformat = "json"\n', "there is no command `aply`\n  did you mean `apply`?"),
    ],
)
def test_a_slip_of_the_pen_in_the_configuration_is_told(ill, text, said):
    ill.write(text)
    ran = ill.apply()
    assert (ran.exit_code, said in ran.err, SECRET in ran.err) == (1, True, False)


def test_defaults_of_options_are_taken_and_the_command_line_goes_before_them(ill, tmp_path):
    ill.write('[defaults]\nformat = "json"\n[defaults.apply]\nwait = "1s"\nmax-mode = "observe"\n')
    (incident,) = json.loads(ill.apply().out)["runs"][0]["hosts"]["localhost"]["incidents"]
    assert incident["state"] == "observed"
    ran = ill.apply("--format", "text", "--max-mode", "auto")
    assert "unhealed" in ran.out
    home = tmp_path / "elsewhere" / "runbook"
    home.mkdir(parents=True)
    ill.config.rename(home / "config.toml")
    (incident,) = json.loads(ill.apply(XDG_CONFIG_HOME=str(home.parent)).out)["runs"][0]["hosts"]["localhost"][
        "incidents"
    ]
    assert incident["state"] == "observed"


def test_a_configuration_that_others_can_write_is_not_read_and_that_is_told(ill):
    ill.write('[defaults]\nformat = "json"\n')
    ill.config.chmod(0o666)
    ran = ill.apply()
    assert "warning: runbook.toml is not read: all may write; mend it: chmod go-w runbook.toml" in ran.err
    assert not ran.out.startswith("{")
    ill.config.chmod(0o660)
    os.chown(ill.config, -1, 0 if os.getgid() == 0 else os.getgroups()[-1])
    ran = ill.apply()
    if os.getgid() == 0:  # root's group is not one man's alone
        assert "is not read: group 0 may write; mend it: chmod go-w runbook.toml" in ran.err
        assert not ran.out.startswith("{")
    ill.config.chmod(0o600)
    assert ill.apply().out.startswith("{")


@pytest.mark.parametrize("kind", ["pipe", "directory", "socket"])
def test_what_is_no_file_in_the_configurations_place_is_not_waited_for(ill, kind):
    ill.write("")
    ill.config.unlink()
    if kind == "pipe":
        os.mkfifo(ill.config)
    elif kind == "directory":
        ill.config.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(ill.config))
    ran = ill.apply()
    assert "warning: runbook.toml is not read: " in ran.err
    assert "unhealed" in ran.out


TELLS = """
name: disks
tell: {{remind: {remind}, channels: [hook]}}
detectors:
  - name: disk full
    file: {flag}
    when: exists
    severity: high
"""


def tells(ill, hook, remind="1h"):
    ill.config.write_text(f'[notify.channels]\nhook = "{hook.address}"\n')
    ill.cli.write("disks.yaml", TELLS.format(flag=ill.flag, remind=remind))

    def passed():
        ill.apply()
        return [said["title"] for _, said in hook.got]

    return passed


def test_tell_says_that_a_fault_opens_once_and_that_it_is_over_once(ill, hook):
    passed = tells(ill, hook)
    first = "[high] disk full on localhost"
    assert passed() == [first]
    assert passed() == [first]
    ill.flag.unlink()
    assert passed() == [first, "disk full on localhost is over"]
    assert passed() == [first, "disk full on localhost is over"]
    assert [said["type"] for _, said in hook.got] == ["failure", "success"]


def test_tell_reminds_until_somebody_acknowledges(ill, hook):
    passed = tells(ill, hook, remind="1ms")
    first, again = "[high] disk full on localhost", "[high] disk full on localhost is still there"
    assert passed() == [first]
    assert passed() == [first, again]
    (number,) = set(re.findall(r"incident ([0-9a-f]{8})", hook.got[0][1]["message"]))
    ill.cli("ack", number)
    assert passed() == [first, again]


def test_tell_names_channels_that_there_are(ill, hook):
    tells(ill, hook)
    ill.config.write_text(f'[notify.channels]\nhok = "{hook.address}"\n')
    ran = ill.apply()
    assert (ran.exit_code, "`tell` of disk full: there is no channel `hook`" in ran.err) == (1, True)
    assert "did you mean `hok`?" in ran.err


def test_tell_says_once_that_a_recovery_is_in_vain_though_each_pass_tries_it(ill, hook):
    passed = tells(ill, hook)
    recover = 'recover: [{command: "false"}]\n    limit: 9 per 1h\n'
    ill.cli.write("disks.yaml", f"{TELLS.format(flag=ill.flag, remind='1h')}    {recover}")
    vain, over = "[high] disk full on localhost was not cured", "disk full on localhost is over"
    assert passed() == [vain]
    assert passed() == [vain]
    assert passed() == [vain]
    ill.flag.unlink()
    assert passed() == [vain, over]
    assert passed() == [vain, over]
    ill.flag.touch()
    assert passed() == [vain, over, vain]  # it was well in between

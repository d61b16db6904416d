"""The catalogue as a runbook uses it: entries named in `log` and `error`, the user's own files, `runbook doc`."""

import sys

import pytest
from click.testing import CliRunner

from runbook.engine.cli.doc import command
from runbook.engine.errors import UserError
from runbook.engine.language import lint, load

LOGGED = """
name: logged
detectors:
  - name: gpu error
    log: {{paths: ["{log}"], signatures: [kmsg.xid], from: start}}
    subject: "{{{{ gpu }}}}"
    when: action >= 'reset'
    limit: 3 per 1h
    recover: [{{notify: "{{{{ incident.xid }}}} calls for {{{{ incident.action }}}}"}}]
    verify: {{for: 0.2s, within: 5s}}
"""
FAILING = """
name: failing
operations:
  - name: train
    command: ["{python}", "-c", "import sys; sys.exit('RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB')"]
    timeout: 1m
detectors:
  - name: slurm ended it
    error: {{signatures: [slurm.*]}}
    retry: false
  - name: gpu full
    error: {{signatures: [cuda.*]}}
    retry: false
    unhealed: [{{notify: "{{{{ incident.signature }}}} of {{{{ incident.size }}}}"}}]
"""


@pytest.fixture
def own(cli):
    """The person's own files of signatures."""
    cli.env["XDG_CONFIG_HOME"] = str(cli.home / "config")

    def write(text):
        return cli.write("config/runbook/signatures/own.yaml", text)

    return write


def logged(cli):
    log = cli.write(
        "kern.log",
        "[1.0] NVRM: Xid (PCI:0000:91:00): 119, pid=1, name=x, Timeout after 6s of waiting for RPC response from GPU3 GSP!\n"
        "[1.1] NVRM: Xid (PCI:0000:92:00): 13, pid=1, name=x, Graphics SM Warp Exception\n"
        "[1.2] NVRM: loading NVIDIA UNIX x86_64 Kernel Module  535.129.03\n",
    )
    return cli.write("logged.yaml", LOGGED.format(log=log))


def test_lines_of_a_signature_open_an_incident_with_what_they_call_for(cli, own):
    done = cli.json("apply", logged(cli))
    assert done.exit_code == 0, done.out
    [incident] = done.host["incidents"]
    assert (incident["detector"], incident["subject"], incident["state"]) == ("gpu error", "0000:91:00", "cured")
    assert "action reset" in incident["evidence"]


def test_the_users_word_about_a_code_decides(cli, own):
    own("xid:\n  13: {action: reboot}\n  119: {action: app}\n")
    [incident] = cli.json("apply", logged(cli)).host["incidents"]
    assert incident["subject"] == "0000:92:00"
    assert "action reboot" in incident["evidence"]


def test_a_failed_attempt_is_known_by_a_signature(cli, own):
    runbook = cli.write("failing.yaml", FAILING.format(python=sys.executable))
    done = cli("apply", runbook)
    assert done.exit_code == 2
    assert "> cuda.oom of 2.00 GiB" in done.out
    assert "gpu full" in done.out
    assert "slurm ended it" not in done.out


def test_a_signature_that_was_taken_out_matches_no_more(cli, own):
    own("signatures:\n  - {id: cuda.oom, off: true}\n  - {id: cuda.error, off: true}\n")
    text = FAILING.format(python=sys.executable).replace("{{ incident.size }}", "memory")
    done = cli.json("apply", cli.write("failing.yaml", text))
    assert done.exit_code == 2
    assert "cuda.oom" not in done.out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kmsg.xid]", "kmsg.xod]", "there is no signature `kmsg.xod`"),
        ("kmsg.xid]", "'nope.*']", "no signature matches `nope.*`"),
        ("'reset'", "'resett'", "`action` is never 'resett'"),
        ("incident.xid", "incident.xod", "incident has no `xod`"),
        ("when: action", "when: pcj == 1 and action", "`pcj` is no field of these records"),
        ("when: action", "when: signature == 'kmsg.xidd' or action", "`signature` is never 'kmsg.xidd'"),
    ],
)
def test_lint_knows_the_signatures_and_their_fields(cli, own, old, new, message):
    path = logged(cli)
    assert lint.check(load.examine(path)) == []
    path.write_text(path.read_text().replace(old, new))
    assert any(message in found.message for found in lint.check(load.examine(path)) if found.level == "error")


def test_a_wrong_file_of_the_users_is_told_with_its_place(cli, own):
    path = own("signatures:\n  - {id: site.x, sevrity: low}\n")
    for words in (["apply", logged(cli)], ["doc", "cuda.oom"]):
        done = cli(*words)
        assert done.exit_code == 1
        assert f"{path}:2:" in done.out + done.err


def test_a_file_of_signatures_is_linted_and_is_no_runbook(cli, own):
    path = own("signatures:\n  - {id: cuda.oom, pattern: 'GPU (?!x)', match: CPU}\n")
    done = cli("lint", path)
    assert done.exit_code == 1
    assert "error[RB055 wrong-sample]" in done.out
    assert "warning[RB056 nonlinear-regex]" in done.out
    assert cli("lint", path.parent).out == done.out
    refused = cli("apply", path)
    assert refused.exit_code == 1
    assert "a file of signatures, not a runbook" in refused.err


def test_doc_tells_all_about_a_signature_and_where_it_was_overridden(cli, own):
    path = own("signatures:\n  - {id: cuda.oom, advice: Ask Ann.}\n")
    done = cli("doc", "cuda.oom")
    assert done.exit_code == 0
    for shown in ("cuda.oom", "Ask Ann.", "CUDA out of memory. Tried to allocate", "Overridden in", str(path)):
        assert shown in done.out


def test_doc_lists_the_signatures_that_a_pattern_chooses(cli, own):
    listed = cli("doc", "signatures", "kmsg.xid*").out.splitlines()
    assert [line.split()[0] for line in listed if line.startswith("kmsg")] == [
        line.split()[0] for line in cli("doc", "kmsg.xid*").out.splitlines() if line.startswith("kmsg")
    ]
    assert any(line.startswith("kmsg.xid ") for line in listed)
    assert not any(line.startswith("cuda.") for line in listed)
    several = cli.json("doc", "signatures", "kmsg.oom_*").json["signatures"]
    assert {"kmsg.oom_kill", "kmsg.oom_context"} <= {one["id"] for one in several}


def test_doc_shows_the_codes_of_the_driver(cli, own):
    path = own("xid:\n  63: {action: reset}\n")
    told = cli.json("doc", "xid").json
    assert {one["code"]: one["action"] for one in told["xid"]}[63] == "reset"
    assert "2025-10-29" in told["xid_source"]
    one = cli("doc", "xid.63").out
    assert "calls for reset" in one
    assert str(path) in one
    assert cli("doc", "xid", "63").out == one
    assert "calls for vendor" in cli("doc", "xid.999").out
    assert "GPU_HAS_FALLEN_OFF_THE_BUS" in cli("doc", "kmsg.xid").out
    assert "| 79 | `reboot` |" in cli("doc", "kmsg.xid", "--format", "markdown").out


def test_doc_takes_files_of_signatures(cli, own):
    path = cli.write("mine.yaml", "signatures:\n  - {id: cuda.oom, title: mine}\n")
    assert "cuda.oom  mine" in cli("doc", "cuda.oom", "--signatures", path).out
    assert cli("doc", "cuda.oom", "--signatures", path.parent / "none.yaml").exit_code == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cuda.oon"], "did you mean cuda.oom?"),
        (["signatures", "zz.*"], "no signature matches `zz.*`"),
        (["xid.abc"], "`abc` is no Xid code"),
        (["xid.12345"], "is no Xid code"),
        (["clear_cache", "cuda.*"], "one word too many"),
        (["cuda.oom", "x"], "one word too many"),
    ],
)
def test_doc_says_what_is_near_a_name_that_is_wrong(words, message):
    done = CliRunner().invoke(command, words)
    assert isinstance(done.exception, UserError)
    assert message in str(done.exception)


def test_host_text_in_a_users_file_can_not_move_the_cursor(cli, own):
    own(
        'signatures:\n  - {id: cuda.oom, title: "a\\eb", match: "CUDA out of memory. Tried to allocate 1 GiB \\e[2J"}\n'
    )
    assert "\x1b" not in cli("doc", "cuda.oom").out


def test_the_driver_tells_which_gpu_it_is_and_what_it_needs(cli, own, gpus):
    gpus.tell(3, gpu2__recovery=2)
    log = cli.write(
        "kern.log",
        "NVRM: Xid (PCI:0000:3c:00): 94, pid=1, name=x, Contained\n"
        "NVRM: Xid (PCI:0000:3d:00): 63, pid=1, name=x, Row Remapper: New row marked for remapping\n"
        "NVRM: Xid (PCI:0000:7f:00): 63, pid=1, name=x, Row Remapper: New row marked for remapping\n",
    )
    done = cli.json("probe", "log", f"paths={log}", "signatures=kmsg.xid", "from=start", env=gpus.environ)
    assert done.exit_code == 0
    told = [(record["fields"]["gpu"], record["fields"]["action"]) for record in done.json["records"]]
    assert told == [(1, "app"), (2, "reboot"), ("0000:7f:00", "ignore")]


def test_a_driver_that_hangs_does_not_hold_up_its_own_lines(cli, own, gpus):
    gpus.tell(1, gpu0__hang=1)
    log = cli.write("kern.log", "NVRM: Xid (PCI:0000:3b:00): 119, pid=1, name=x, Timeout after 6s\n")
    done = cli.json("probe", "log", f"paths={log}", "signatures=kmsg.xid", "from=start", env=gpus.environ)
    assert [record["fields"]["action"] for record in done.json["records"]] == ["reset"]


OWN = """
signatures:
  - id: site.flux
    title: the flux ran out
    scope: app
    pattern: 'flux capacitor: (?P<volts>[0-9]{1,6}) V'
    severity: high
    category: hardware
    role: root
    meaning: The flux capacitor lost its charge, so nothing moves in time.
    advice: Charge it.
"""
FLUX = """
name: flux
detectors:
  - name: flux
    log: {{paths: "{home}/x.log", signatures: [site.*], from: start}}
    when: volts < 5
"""


@pytest.mark.parametrize("way", ["option", "variable"])
def test_signatures_of_ones_own_are_known_to_lint_and_check(cli, way):
    own = cli.write("own.yaml", OWN)
    book = cli.write("flux.yaml", FLUX.format(home=cli.home))
    cli.write("x.log", "flux capacitor: 3 V\n")
    words = ("--signatures", own) if way == "option" else ()
    env = {"RUNBOOK_SIGNATURES": str(own)} if way == "variable" else {}
    assert cli("lint", book).exit_code == 1
    assert cli("lint", book, *words, env=env).exit_code == 0
    assert cli("check", book, *words, env=env).exit_code == 2
    assert cli.json("apply", book, *words, env=env).incidents["flux"]["fields"]["volts"] == 3

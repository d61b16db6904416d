"""`apply --check` on a host where nothing is yet: what an earlier operation makes is not there, and that is no fault."""

import pytest

BOOK = """\
name: fresh
writable: ["{root}"]
operations:
  - name: make room
    command: {{argv: [sh, -c, 'mkdir -p "$1" && echo x > "$1/main.c"', sh, "{root}/src"], creates: "{root}/src"}}
    timeout: 10s
  - name: build
    build: {{path: "{root}/src", command: [cp, main.c, out], produces: [out], logs: "{root}/logs"}}
    retry: {{strategy: immediate, attempts: 3}}
    timeout: 10s
  - name: whole
    verify_files: {{path: "{root}/src", files: [out]}}
    timeout: 10s
"""


def said(ran):
    return " ".join((ran.out + ran.err).split())


def test_what_an_earlier_operation_makes_is_no_failure_of_a_check(cli):
    root = cli.home / "fresh"
    cli.write("fresh.yaml", BOOK.format(root=root))
    ran = cli.json("apply", "fresh.yaml", "--check")
    assert ran.exit_code == 0, said(ran)
    _, build, whole = ({**one, "said": one["steps"][0]["actions"][0]["what"]} for one in ran.host["operations"])
    assert build["said"] == f"do what can't be foreseen: the source {root}/src is not there yet; fetch it first"
    assert whole["said"] == f"do what can't be foreseen: {root}/src is not there"
    assert (build["state"], build["attempts"], whole["state"]) == ("planned", 0, "planned")
    assert not root.exists()
    assert cli("apply", "fresh.yaml").exit_code == 0
    assert (root / "src/out").exists()


def test_a_download_into_what_is_not_there_yet_is_no_failure_of_a_check(cli):
    pytest.importorskip("huggingface_hub")
    root = cli.home / "fresh"
    words = ("run", "hf_download", "repo=org/toy", f"dest={root}/m", "endpoint=http://127.0.0.1:9", "--writable", root)
    ran = cli(*words, "--check")
    assert (ran.exit_code, "is writable and not there yet" in said(ran)) == (0, True), said(ran)
    ran = cli(*words)
    assert (ran.exit_code, "is writable and not there yet; make it first" in said(ran)) == (2, True), said(ran)


def test_a_check_tries_nothing_twice(cli):
    """A second look would find what the first found, since nothing was changed between them."""
    (cli.home / "file").write_text("no directory")
    cli.write(
        "twice.yaml",
        f"""\
name: twice
writable: ["{cli.home}/file"]
operations:
  - name: clear it
    clear_cache: "{cli.home}/file"
    retry: {{strategy: immediate, attempts: 3}}
    timeout: 10s
""",
    )
    ran = cli.json("apply", "twice.yaml", "--check")
    assert ran.host["operations"][0]["state"] == "failed"
    assert "tried" not in cli("apply", "twice.yaml", "--check").out
    assert "tried 3 times" in said(cli("apply", "twice.yaml"))


def test_secrets_that_are_missing_are_named_at_once(cli):
    cli.write(
        "secrets.yaml",
        """\
name: secrets
secrets: {one: {env: NO_ONE_SETS_THIS}, two: {file: /no/such/secret}, three: {env: NO_ONE_SETS_THAT}}
operations:
  - name: tell
    command: {argv: [sh, -c, 'test -n "$A$B$C"'], env: {A: "{{ secrets.one }}", B: "{{ secrets.two }}", C: "{{ secrets.three }}"}}
    timeout: 10s
""",
    )
    ran = cli("apply", "secrets.yaml")
    assert ran.exit_code == 1
    for word in ("3 secrets are missing", "NO_ONE_SETS_THIS", "/no/such/secret", "export NO_ONE_SETS_THAT=…"):
        assert word in said(ran)

"""Which words of commands may be host text: in `apply`, and the same in lint."""

import pytest

from runbook.engine.errors import RenderError
from runbook.engine.language import load, render
from runbook.engine.language.expression import parse
from runbook.engine.language.lint import check
from runbook.engine.model import Runbook, StepCall

X = "{{ incident.what }}"
CODE = [
    ["bash", "-c", X],
    ["bash", "-c", "--", X],
    ["bash", "-c", "-o", "pipefail", X],
    ["bash", "-euo", "pipefail", "-c", X],
    ["bash", "-o", "pipefail", "+x", "-c", "--", X],
    ["bash", "-ce", X],
    ["bash", f"-c{X}"],
    ["bash", X],
    ["bash", "--", X],
    ["bash", "-s", X],
    ["bash", "--rcfile", X, "run.sh"],
    ["busybox", "sh", "-c", X],
    ["dash", "-c", f"echo {X}"],
    ["rsh", "node", X],
    ["timeout", "10", "/path/ssh", "node1", X],
    ["timeout", "-k", "5", "10", "bash", "-c", X],
    ["timeout", "--signal", "KILL", "10", "ssh", "node1", X],
    ["timeout", "10", X],
    ["timeout", X, "true"],
    ["sudo", "-u", X, "true"],
    ["sudo", "-n", X],
    ["sudo", "-s", "echo", X],
    ["sudo", "--login", "echo", X],
    ["nice", "-n", "5", "nohup", "setsid", "stdbuf", "-oL", "bash", "-c", "--", X],
    ["env", "-S", "bash -c", X],
    ["env", "--split-string=bash -c", X],
    ["env", f"LD_PRELOAD={X}", "true"],
    ["env", "A=1", X],
    ["env", "A=1", "awk", X],
    ["chroot", "/srv", X],
    ["chroot", "/srv", "sh", "-c", X],
    ["unshare", "-m", "sh", "-c", "-e", X],
    ["flock", "/lock", "-c", X],
    ["runuser", "root", "-c", X],
    ["runuser", "-u", "root", "--", X],
    ["su", "-", "root", "-c", X],
    ["xargs", "-n", "1", X],
    ["xargs", "bash", "-c", X],
    ["docker", "exec", "box", X],
    ["docker", "exec", "-it", "box", "sh", "-c", X],
    ["docker", "run", "--rm", X],
    ["docker", "run", "--rm", "image", "bash", "-c", "--", X],
    ["kubectl", "exec", "pod", "--", X],
    ["kubectl", "exec", "pod", "--", "sh", "-c", X],
    ["ip", "netns", "exec", "blue", X],
    ["ssh", "node1", "--", X],
    ["watch", "-n", "1", X],
    ["awk", f"/{X}/ {{print}}", "f.txt"],
    ["awk", "-F", ":", X, "f.txt"],
    ["awk", "-v", X, "1"],
    ["gawk", "-i", "inplace", X],
    ["gawk", "-f", "a.awk", "-e", X],
    ["sed", f"s/hello/{X}/", "f.txt"],
    ["sed", "-n", "-e", "p", "-e", X],
    ["sed", "-n", "p", "f.txt", "-e", X],
    ["sed", "p", "f.txt", f"--expression={X}"],
    ["perl", "-e", "1", "-e", X],
    ["perl", "-ne", "print", "--", X],
    ["perl", X],
    ["python3", "-c", X],
    ["python3", f"-c{X}"],
    ["python3", "-W", "ignore", X],
    ["python3", "-m", X],
    ["python3", "-m", "timeit", "--", X],
    ["python3.11", f"/srv/{X}.py"],
    ["ruby", "-r", "json", X],
    ["node", "--require", "m", X],
    ["node", "-e", "1", "-e", X],
    ["lua", "-l", "m", X],
    ["php", "-r", X],
    ["jq", X, "f.json"],
    ["make", "-f", "mk", f"X={X}"],
    ["make", "-C", X],
    ["find", "/srv", X],
    ["find", "/srv", "-exec", "sh", "-c", X, ";"],
    ["find", "/srv", "-exec", X],
    ["find", "--", X],
    ["tar", "-xf", "a.tar", "--to-command", X],
    ["tar", "-xf", "a.tar", f"--checkpoint-action=exec={X}"],
    ["rsync", "-e", X, "a", "b"],
    ["sqlite3", "my.db", X],
    ["psql", "-c", X],
    ["pip", "install", "--", X],
    ["/opt/start", "bash", "-c", "--", X],
    ["/opt/start", "bash", "-c", "-o", "pipefail", X],
    ["bash", "-c", 'exec "$@"', "name", "bash", "-c", X],
    ["bash", "run.sh", "perl", "-e", X],
    ["/opt/start", "awk", X],
    ["{{ tool }}", "-c", X],
    ["timeout", "10", "{{ tool }}", "-c", X],
]
DATA = [
    ["echo", "--", X],
    ["printf", "%s", "--", X],
    ["logger", "-t", "python3", "--", X],
    ["echo", "bash", "-c", "--", X],
    ["python3", "script.py", "--", X],
    ["python3", "-u", "script.py", "--job", "--", X],
    ["python3", "-c", "import sys", X],
    ["python3", "-m", "ourtool", "--", X],
    ["bash", "-c", 'printf %s "$1"', "name", X],
    ["bash", "-c", 'printf %s "$1"', "bash", X],
    ["bash", "-euo", "pipefail", "-c", 'printf %s "$1"', "sh", X],
    ["bash", "/srv/drain.sh", "--", X],
    ["grep", "-F", "--", X, "file"],
    ["scontrol", "requeue", "--", X],
    ["kubectl", "cordon", "--", X],
    ["kubectl", "describe", "node", "--", X],
    ["kubectl", "exec", "pod", "--", "ls", "--", X],
    ["docker", "restart", "--", X],
    ["docker", "exec", "-it", "box", "ls", "--", X],
    ["timeout", "10", "logger", "--", X],
    ["timeout", "-k", "5", "10", "systemctl", "restart", "--", X],
    ["sudo", "-n", "systemctl", "restart", "--", X],
    ["sudo", "-u", "node", "systemctl", "restart", "--", X],
    ["nice", "-n", "5", "logger", "--", X],
    ["env", "A=1", f"B={X}", "true"],
    ["find", "/srv", "-name", X, "-delete"],
    ["find", f"/srv/{X}", "-delete"],
    ["sed", "-n", "p", "--", X],
    ["awk", "-v", f"job={X}", "$1 == job", "f.txt"],
    ["awk", "{print}", "--", X],
    ["jq", "--arg", "job", X, ".[$job]", "f.json"],
    ["tar", "-xf", f"/srv/{X}.tar"],
    ["ip", "link", "set", "--", X],
    ["rm", "--", X],
    ["curl", "--url", f"http://localhost/{X}"],
]


def made(given):
    return parse(given, template=True) if isinstance(given, str) and "{{" in given else given


def order(argv, what="--force", **more):
    runbook = Runbook(name="x", file="x.yaml", vars={"tool": "bash"})
    scope = render.Scope(runbook, incident={"what": what})
    given = {"argv": [made(word) for word in argv], **more}
    return render.order(StepCall(module="command", params=given, path=()), scope)


def linted(tmp_path, argv, more=""):
    file = tmp_path / "x.yaml"
    words = ", ".join("'" + word.replace("'", "''") + "'" for word in argv)
    file.write_text(
        "name: x\nvars: {tool: bash}\ndetectors:\n"
        "  - name: d\n    log: {paths: /x.log, patterns: 'bad (?P<what>.*)$'}\n    limit: 1 per 1h\n"
        f"    recover:\n      - command: {{argv: [{words}]{more}}}\n",
        encoding="utf-8",
    )
    return {found.code for found in check(load.examine(file))} & {"RB029", "RB030"}


@pytest.mark.parametrize("argv", CODE, ids=" ".join)
@pytest.mark.parametrize("what", ["touch /tmp/x", "--force", "--", "bash"])
def test_host_text_that_would_be_code_is_refused_whatever_it_is(argv, what):
    with pytest.raises(render.Refused, match=r"would be code for|can't name the program"):
        order(argv, what)


@pytest.mark.parametrize("argv", CODE, ids=" ".join)
def test_lint_finds_what_is_refused(argv, tmp_path):
    assert "RB029" in linted(tmp_path, argv)


@pytest.mark.parametrize("argv", DATA, ids=" ".join)
def test_host_text_that_is_data_passes_whatever_it_is(argv, tmp_path):
    for what in ("--force", "a b; c"):
        words = order(argv, what).params["argv"]
        assert [word.replace(what, X) for word in words] == argv
    assert linted(tmp_path, argv) == set()


@pytest.mark.parametrize(
    "argv",
    [["timeout", "--", "10", "rm", X], ["sudo", "--", "rm", X], ["rm", X], ["python3", "run.py", X]],
    ids=" ".join,
)
def test_two_dashes_count_for_the_program_that_gets_the_word(argv, tmp_path):
    with pytest.raises(render.Refused, match="would be an option"):
        order(argv)
    assert order(argv, "plain")
    assert linted(tmp_path, argv) == {"RB030"}


@pytest.mark.parametrize("variable", ["LD_PRELOAD", "BASH_ENV", "PATH", "PYTHONPATH", "GIT_SSH_COMMAND", "PERL5OPT"])
def test_host_text_in_a_variable_that_loads_code_is_refused(variable, tmp_path):
    with pytest.raises(RenderError, match=f"in {variable} would be code"):
        order(["true"], env={variable: made(X)})
    assert linted(tmp_path, ["true"], f", env: {{{variable}: '{X}'}}") == {"RB029"}
    assert order(["true"], env={"JOB": made(X)})


@pytest.mark.parametrize(
    "argv", [["bash"], ["ssh", "node1"], ["sudo", "sh", "-s"], ["xargs", "rm"], ["awk", "-f", "-"]]
)
def test_host_text_is_no_input_of_what_reads_code(argv, tmp_path):
    with pytest.raises(render.Refused, match="stdin: host text would be code"):
        order(argv, stdin=made(X))
    assert linted(tmp_path, argv, f", stdin: '{X}'") == {"RB029"}
    assert order(["tee", "/tmp/sh"], stdin=made(X))


@pytest.mark.parametrize(("module", "name"), [("clear_cache", "match"), ("verify_files", "files")])
def test_host_text_is_no_pattern_of_names(module, name):
    scope = render.Scope(Runbook(name="x", file="x.yaml"), incident={"what": "*"})
    given = {"path": "/srv", name: [made(X)]}
    with pytest.raises(render.Refused, match="can't be a pattern of names"):
        render.order(StepCall(module=module, params=given, path=()), scope)

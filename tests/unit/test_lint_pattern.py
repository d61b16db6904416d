"""What is said of regular expressions, held against Python's own matcher."""

import pathlib
import re
import subprocess
import sys

import pytest

from runbook.engine.language.lint import pattern

EXPLODING = [
    r"(a+)+$",
    r"(a|a)*b",
    r"(.*a){20}b",
    r"(\w+\s?)+$",
    r"([a-zA-Z0-9]+\s?)*:",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"(a|aa)+$",
    r"(\s*\d+)+x",
    r'("[^"]*"|[^"]+)*z',
    r"(.*,){11}P",
    r"(a|ab|b)*c",
    r"foo(bar|ba|r)*baz",
    r"(x+x+)+y",
    r"(?:\w+\.)*\w+@(?:\w+\.?)+$",
    r"(a*)*b",
    r"(a?){50}b",
    r"((a{1,64}){1,64})x",
    r"^(?:(?:[^\s]+)\s*)+ERROR$",
    r"(\d+|\w+)*!",
    r"(?:.|\s)*x",
    r"(?=(a+)+$)b",
    r"(?i)(?:A|a)+(?:a|B)+(a|[ab])+$|(q+)+z",
    r".*.*.*.*x",
]
HARMLESS = [
    "foo",
    r"(?:/[a-z]+)*$",
    r"(?:[0-9a-f]{2}:)+[0-9a-f]{2}",
    r'"(?:[^"\\]|\\.)*"',
    r"(?:a|b)*c",
    r"(?i)(E|e)*x",
    r"\b\w+(?:\s+\w+)*$",
    r"(?>a+)+$",
    r"(a++)+$",
    r"(?:a+b)+c",
    r"a{1,64}b",
    r"(?:\w+\b\W+)+x",
    r"\d+\.\d+\.\d+\.\d+",
    "error.*timeout",
    r"(a+)+",
    "(?i)connection|timed? ?out|unreachable",
    r"(?:\d+,)*\d+$",
    "(foo)+bar",
    r'^(\S+) (\S+) (\S+) \[([^\]]+)\] "(\S+) (\S+) (\S+)" (\d+) (\d+)',
    r"key=\w+ val=\w+ x=\w+ y=\w+ z=\w+",
    r"([^,]*,)*[^;]*([^,]*,)*;",
    r"NVRM: Xid \((?:PCI:)?(?P<pci>[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}(?:\.[0-7])?)\): (?P<xid>\d+),",
    (
        r"oom-kill:constraint=(?P<c>CONSTRAINT_\w+),nodemask=[^ ]{0,200}?,cpuset=[^\n]{0,300}?,oom_memcg=(?P<m>[^,]*),"
        r"task_memcg=(?P<t>[^,]*),task=(?P<comm>.*),pid=(?P<pid>\d+),uid=(?P<uid>\d+)"
    ),
    r"(?P<comm>[^\s\[]{1,64})\[(?P<pid>\d{1,10})\]: segfault at (?P<addr>[0-9a-f]+)",
    r"Watchdog caught collective operation timeout: WorkNCCL\(SeqNum=(?P<seq>\d+), OpType=(?P<op>\w+).*?Timeout",
    r"NCCL WARN .*(?:Got completion from peer .* with (?:error|status=)|IBV_WC_RETRY_EXC_ERR)",
    r"(?:exitcode|exit code)\s*:?\s*-9\b",
]
TIMED = """
import re, signal, sys
signal.signal(signal.SIGALRM, lambda *_: sys.exit(9))
signal.setitimer(signal.ITIMER_REAL, 0.3)
re.match(sys.argv[1], sys.stdin.read())
"""


def takes_long(text, hostile):
    argv = [sys.executable, "-I", "-c", TIMED, text]
    return subprocess.run(argv, input=hostile, text=True, timeout=60, check=False).returncode == 9


@pytest.mark.parametrize("text", EXPLODING)
def test_an_exploding_pattern_is_found_and_its_example_keeps_python_busy(text):
    hostile = pattern.explosion(text)
    assert hostile is not None
    assert any(takes_long(text, hostile.text(times)) for times in (30, 19, 60, 2000))


def test_a_pattern_whose_work_doubles_with_each_letter_up_to_a_bound_is_exploding_too():
    assert pattern.explosion(r"(.*a){20}") is not None  # half a million steps for twenty letters, then it ends


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_pattern_is_not_called_exploding(text):
    assert pattern.explosion(text) is None


@pytest.mark.parametrize("text", [r"\S+\[\d+\]: segfault", ".*error", r"\s+foo", "(?:a|b*)c", r"x.*.*.*y"])
def test_a_pattern_that_is_slow_on_long_lines_is_called_unbounded(text):
    assert pattern.unbounded(text)


@pytest.mark.parametrize(
    "text", ["foo.*bar", r"^\S+ foo", "foo.*", r"\w{1,64}x", "(?m)^.*x", r"\bfoo\d+", "(?:foo|bar)+", ".*", "a+"]
)
def test_a_pattern_that_can_start_in_few_places_is_not_called_unbounded(text):
    assert pattern.unbounded(text) is None


@pytest.mark.parametrize("text", ["(", "[a", "a{2,1}", "(?P<x>a)(?P<x>b)", "*a", "(?z)", "[[a]]b"])
def test_what_python_refuses_or_warns_of_is_a_problem(text):
    assert pattern.problem(text)


@pytest.mark.parametrize(("text", "everything"), [("a|", True), ("", True), ("a*", True), ("^$", False), ("a", False)])
def test_a_pattern_found_in_every_line_is_known(text, everything):
    assert pattern.matches_everything(text) is everything


def test_no_pattern_of_the_bundled_catalogue_explodes_or_is_unbounded():
    import runbook

    folder = pathlib.Path(runbook.__file__).parent / "runbooks"
    texts = [
        text for file in folder.rglob("*.yaml") for text in re.findall(r"pattern: '((?:[^']|'')+)'", file.read_text())
    ]
    assert [text for text in texts if pattern.problem(text.replace("''", "'"))] == []
    assert [text for text in texts if pattern.explosion(text.replace("''", "'"))] == []

"""The loader is given anything: it makes a Runbook or located findings, nothing else."""

import pathlib
import tempfile
from functools import cache

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runbook.engine.language import load, source
from runbook.engine.model import Runbook

SETTINGS = settings(deadline=None, database=None, max_examples=120, suppress_health_check=list(HealthCheck))
SEED = """\
name: seed
hosts: llm
every: 30s
limit: 3 per 1h
writable: ["{{ root }}"]
vars: {root: /srv/x, port: 8000, list: [1, "{{ root }}"], alias: &a {p: 1}, again: *a, merged: {<<: *a}}
secrets: {token: {env: TOKEN}}
operations:
  - name: build
    command: make -C {{ root }}/src "{{ port }}"
    retry: {strategy: exponential, attempts: 3, base: 5s, max: 60s}
    fallback: [{shell: {script: 'echo "$A"', env: {A: "{{ incident.path }}"}}}]
detectors:
  - name: server down
    http: http://127.0.0.1:8000/health
    when: [status != 200, "latency > 5s"]
    for: 30s
    strategy: progressive
    recover:
      - wait: 1s
      - block: [{wait_for: {probe: {port: 8000}, when: open}}, {notify: "{{ incident.host }}: down"}]
        when: incident.severity == 'high'
    verify: {within: 5m, for: 20s}
    unhealed: [{notify: x}]
  - {name: net, error: {patterns: ['(?i)timeout'], exit_codes: [1], during: [build]}, retry: false, count: 2 per 24h}
  - {name: listening, port: 8000, match: all, clear: open, recover: repair}
  - {name: both, all: [server down, listening], within: 10m}
recoveries: {repair: [{command: {argv: [echo, "{{ port }}"], creates: /x}, mode: approve, limit: 1 per 1d}]}
pools: {ends: {members: [{name: a, port: 1}], switch: [{wait: 3s}]}}
components: {hub: {breaker: {failures: 5, timeout: 60s}, window: 20}}
finally: [{fail: never, when: false}]
"""
BITS = st.sampled_from(
    ["{{", "}}", "{%", ": ", "- ", "\t", "\n", "  ", "&a ", "*a", "<<", "!x ", "'", '"', "|\n", ">", "#", "[", "]", "{", "}",
     ",", "yes", "0777", "1:30", "null", "\0", "\x85", "\u2028", "\ufeff", "é", "--- ", "...", "?", "@", "`", "%", "2 minuts",
     "{{ a }}", "when:", "name:", "block:", "recover:", "use: [seed]", "for: 3", "(", "and", "not", "~", "0", "-1", "1e9", "\\"]
)  # fmt: skip


@cache
def folder() -> pathlib.Path:
    return pathlib.Path(tempfile.mkdtemp(prefix="fuzz-loader-"))


def teardown_module():
    for file in folder().iterdir():
        file.unlink()
    folder().rmdir()


def check(content: bytes) -> load.Examined:
    file = folder() / "book.yaml"
    file.write_bytes(content)
    found = load.examine(file)
    errors = [finding for finding in found.findings if finding.level == "error"]
    assert errors or isinstance(found.runbook, Runbook)
    for finding in found.findings:
        assert finding.code in source.RULES
        assert finding.message
        assert finding.span.line >= 1
        assert finding.span.column >= 1
        origin = next((each for each in (found.source, *found.used) if each.file == finding.span.file), None)
        assert origin is not None
        start, end = origin.offset(finding.span)
        assert 0 <= start <= end <= len(origin.text)
        for edit in finding.fixes:
            assert 0 <= edit.start < edit.end <= len(origin.text)
    return found


def test_the_seed_is_a_good_runbook():
    assert check(SEED.encode()).findings == ()


@SETTINGS
@given(st.binary(max_size=300))
@example(b"\xef\xbb\xbf")
@example(b"? ? ? ?")
@example(b"{[]: {}}")
@example(b"&a *a")
@example(b"a: &a [*a]")
@example(b"[" * 5000)
@example(b"a: !!float x")
@example(b"%YAML 9.9\n---\na")
def test_arbitrary_bytes(content):
    check(content)


@SETTINGS
@given(st.text(max_size=300))
def test_arbitrary_text(text):
    check(text.encode("utf-8", "surrogatepass"))


@SETTINGS
@given(st.lists(BITS, max_size=40))
def test_bits_of_yaml_in_any_order(bits):
    check(b"name: x\n" + "".join(bits).encode())


@SETTINGS
@given(st.data())
def test_a_runbook_with_something_put_in(data):
    text = SEED
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        gone = data.draw(st.integers(0, 12))
        text = text[:at] + data.draw(BITS) + text[at + gone :]
    check(text.encode())


@SETTINGS
@given(st.data())
def test_a_runbook_with_its_lines_mixed_up(data):
    lines = SEED.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        line = lines.pop(data.draw(st.integers(0, len(lines) - 1)))
        indent = data.draw(st.integers(0, 6))
        lines.insert(data.draw(st.integers(0, len(lines))), " " * indent + line.lstrip())
    check("\n".join(lines).encode())


def positions(value, path=()):
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from positions(item, (*path, key))


@SETTINGS
@given(
    st.sampled_from(list(positions(source.parse(SEED, "seed.yaml").data))),
    st.sampled_from(
        [
            "[]",
            "{}",
            "5",
            "-1",
            "1.5",
            "null",
            "true",
            "x",
            '"{{ a }}"',
            '"{{ vars }}"',
            "[[]]",
            "{a: {b: c}}",
            '""',
            '"{{"',
        ]
    ),
)
def test_a_runbook_with_another_value_anywhere(path, value):
    seed = source.parse(SEED, "seed.yaml")
    start, end = seed.offset(seed.span(path))
    check((SEED[:start] + value + " " + SEED[end:]).encode())


@SETTINGS
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["{{ a }}", "3s", "wait"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.text(max_size=5) | st.sampled_from(["name", "detectors", "finally", "vars", "wait", "command", "port", "use", "recover"]),
        inner, max_size=4,
    ),
    max_leaves=20,
))  # fmt: skip
def test_any_json_document(document):
    import json

    check(b"name: x\n" if document is None else json.dumps(document).encode())

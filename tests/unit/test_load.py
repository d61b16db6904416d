"""A file → a Runbook: defaults, shorthands, references, and values that are checked before a host is asked."""

import textwrap

import pytest

from runbook.engine.errors import RunbookInvalid, UserError
from runbook.engine.language import load
from runbook.engine.language.expression import Expression
from runbook.engine.model import Backoff, Count, ErrorMatch, Limit, Mode, Retry, Severity, Strategy


@pytest.fixture
def written(tmp_path):
    def write(text: str, name: str = "book.yaml"):
        file = tmp_path / name
        file.write_text("name: x\n" + textwrap.dedent(text))
        return file

    return write


@pytest.fixture
def loaded(written):
    return lambda text, **more: load.load(written(text), **more)


@pytest.fixture
def findings(written):
    def examine(text: str, **more):
        found = load.examine(written(text), **more).findings
        return [(each.code, each.span.line, each.span.column, each.message) for each in found]

    return examine


def test_defaults_at_the_top_hold_for_detectors_that_say_nothing(loaded):
    book = loaded("""
        limit: 3 per 1h
        severity: high
        strategy: progressive
        recover: [{wait: 1s}]
        for: 30s
        mode: approve
        detectors:
          - {name: a, port: 1}
          - {name: b, port: 1, limit: 1, severity: low, recover: [{notify: x}], for: 0, mode: auto}
    """)
    first, second = book.detectors
    assert (first.limit, first.severity, first.strategy, first.hold) == (
        Limit(3, 3600.0),
        Severity.HIGH,
        Strategy.PROGRESSIVE,
        30.0,
    )
    assert first.mode is Mode.APPROVE
    assert first.recover[0].steps[0].path == ("recover", 0)
    assert (second.limit, second.severity, second.hold, second.mode) == (Limit(1), Severity.LOW, 0.0, Mode.AUTO)
    assert second.recover[0].steps[0].module == "notify"


def test_the_runbooks_own_hosts_and_every_are_no_defaults_of_detectors(loaded):
    book = loaded("hosts: [gpu, '!login']\nevery: 10s\ndetectors: [{name: a, port: 1}]")
    assert (book.hosts, book.every) == ("gpu,!login", 10.0)
    assert (book.detectors[0].hosts, book.detectors[0].every) == (None, None)


@pytest.mark.parametrize(
    ("written_", "expected"),
    [
        ("'*/5 * * * *'", "*/5 * * * *"),
        ("0 3 * * mon-fri", "0 3 * * mon-fri"),
        ("'@daily'", "0 0 * * *"),
        ("1h30m", 5400.0),
    ],
)
def test_every_is_seconds_or_cron(loaded, written_, expected):
    assert loaded(f"every: {written_}").every == expected


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("61 * * * *", "'61' is no minute: write 0 to 59"),
        ("* * 0 * *", "'0' is no day of month: write 1 to 31"),
        ("* * * foo *", "'foo' is no month: write 1 to 12 or jan to dec"),
        ("*/0 * * * *", "'*/0' steps by 0: write 1 or more behind the /"),
        ("5-1 * * * *", "'5-1' runs backwards: write the smaller minute first"),
        ("*/90 * * * *", "'*/90' steps over every minute but the first: write 59 or less behind the /"),
        ("0 0 31 2 *", "'0 0 31 2 *' never comes: no month of these has a day 31"),
        ("0 0 1 1 * *", "a cron expression has five fields, not 6: write it as */5 * * * *"),
    ],
)
def test_cron_fields_are_checked(findings, cron, message):
    assert findings(f"every: '{cron}'") == [("RB011", 2, 8, message)]


def test_a_scalar_or_list_is_the_first_parameter(loaded):
    book = loaded("finally: [{wait: 3s}, {command: [make, all]}, {command: make all}, {fail: }]")
    assert [dict(step.params) for step in book.finally_] == [
        {"duration": "3s"},
        {"argv": ["make", "all"]},
        {"argv": "make all"},
        {},
    ]


def test_a_command_line_is_split_before_its_templates_are_filled_in(loaded):
    book = loaded("""
        vars: {dir: "a b"}
        finally: [{command: 'make -C "{{ dir }}/src" x{{ dir }}'}]
    """)
    words = book.finally_[0].params["argv"]
    assert [getattr(word, "text", word) for word in words] == ["make", "-C", "{{ dir }}/src", "x{{ dir }}"]


def test_templates_become_expressions_however_deep_they_stand(loaded):
    book = loaded("""
        vars: {a: 1, list: [x, "{{ a }}"]}
        writable: ["/x/{{ a }}", /y]
        finally: [{shell: {script: echo, env: {A: "{{ a }}"}}}]
        pools: {p: {members: [{name: m, url: "http://{{ a }}"}]}}
    """)
    found = [
        book.vars["list"][1],
        book.writable[0],
        book.finally_[0].params["env"]["A"],
        book.pools["p"].members[0]["url"],
    ]
    assert all(isinstance(each, Expression) for each in found)
    assert book.writable[1] == "/y"


def test_a_when_list_is_an_and(loaded):
    book = loaded("detectors: [{name: d, port: 1, when: [not open, 'latency > 5s or latency < 1s']}]")
    assert book.detectors[0].when.text == "(not open) and (latency > 5s or latency < 1s)"


def test_when_may_be_a_plain_truth(loaded):
    assert loaded("finally: [{wait: 3s, when: true}]").finally_[0].when.text == "true"


@pytest.mark.parametrize(
    ("error", "match"),
    [
        ("'(?i)timeout'", ErrorMatch(("(?i)timeout",))),
        ("[a, b]", ErrorMatch(("a", "b"))),
        ("{patterns: a, exit_codes: [1, 2], during: [build]}", ErrorMatch(("a",), (1, 2), ("build",))),
        ("{exit_codes: 137}", ErrorMatch((), (137,))),
        ("", ErrorMatch()),
    ],
)
def test_an_error_detector_says_which_failures_it_is_about(loaded, error, match):
    book = loaded(f"""
        operations: [{{name: build, command: make}}]
        detectors:
          - name: e
            error: {error}
    """)
    assert book.detectors[0].error == match


def test_retry_false_and_a_retry_of_its_own(loaded):
    book = loaded("""
        operations:
          - {name: a, command: x}
          - {name: b, command: x, retry: {strategy: fibonacci, attempts: 5, base: 2s, max: 2m, jitter: 20%}}
        detectors:
          - {name: never, error: gated, retry: false}
          - {name: more, error: net, retry: {attempts: 9}}
          - {name: usual, error: net}
    """)
    assert [each.retry for each in book.operations] == [Retry(attempts=1), Retry(Backoff.FIBONACCI, 5, 2.0, 120.0, 0.2)]
    assert [each.retry for each in book.detectors] == [False, Retry(attempts=9), None]


def test_retry_belongs_to_operations(findings):
    assert findings("detectors: [{name: d, port: 1, retry: false}]") == [
        ("RB006", 2, 32, "`retry` is about the attempts of operations")
    ]


def test_a_recovery_is_found_by_its_name(loaded):
    book = loaded("""
        detectors: [{name: d, port: 1, recover: repair}]
        recoveries:
          repair: [{wait: 1s}, {block: [{wait: 2s}, {notify: x}], name: both, when: a, tags: [t]}]
    """)
    wait, block = book.detectors[0].recover
    assert [step.module for step in (*wait.steps, *block.steps)] == ["wait", "wait", "notify"]
    assert (block.title, block.steps[0].when.text, block.steps[1].tags) == ("both", "a", ("t",))


def test_a_step_in_a_block_adds_its_own_when(loaded):
    [rung] = (
        loaded("recover: [{block: [{wait: 2s, when: b}], when: a}]\ndetectors: [{name: d, port: 1}]")
        .detectors[0]
        .recover
    )
    assert rung.steps[0].when.text == "(a) and (b)"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("recover: repare\nrecoveries: {repair: []}\ndetectors: [{name: d, port: 1}]", (2, 10, "there is no recovery `repare`")),
        ("operations: [{command: x, pool: ends}]\npools: {endz: {members: [{name: a}]}}", (2, 33, "there is no pool `ends`")),
        ("detectors: [{name: d, all: [d1, e]}, {name: d1, port: 1}]", (2, 33, "there is no detector `e`")),
        ("detectors: [{name: d, port: 1, verify: {detector: e}}]", (2, 51, "there is no detector `e`")),
        ("detectors: [{name: d, error: {during: [mak]}}]\noperations: [{name: make, wait: 1s}]", (2, 39, "there is no operation `mak`")),
    ],
)  # fmt: skip
def test_names_that_nothing_bears_are_reported(findings, text, finding):
    assert findings(text) == [("RB012", *finding)]


def test_a_detector_that_others_look_at_and_that_recovers_nothing_is_an_input(loaded):
    book = loaded("""
        detectors:
          - {name: a, port: 1}
          - {name: b, port: 1, recover: [{wait: 1s}]}
          - {name: c, port: 1}
          - {name: d, port: 1}
          - {name: both, all: [a, b], recover: [{wait: 1s}], verify: {detector: c}}
    """)
    assert [each.is_input for each in book.detectors] == [True, False, True, False, False]
    assert book.detectors[4].members == ("a", "b")


def test_count_and_limit_have_their_windows(loaded):
    found = loaded("detectors: [{name: d, error: x, count: 2 per 24h, limit: 3 per 5m}]").detectors[0]
    assert (found.count, found.limit) == (Count(2, 86400.0), Limit(3, 300.0))


def test_verify_within_is_at_least_twice_for(loaded, findings):
    assert loaded("detectors: [{name: d, port: 1, verify: {for: 5m}}]").detectors[0].verify.within == 600.0
    assert findings("verify: {for: 1m, within: 90s}\ndetectors: [{name: d, port: 1}]") == [
        ("RB011", 2, 27, "`within` must be at least twice `for`")
    ]


def test_the_languages_own_keys_may_use_vars(loaded):
    text = 'vars: {hold: 10s, n: 3}\ndetectors: [{name: d, port: 1, for: "{{ hold }}", limit: "{{ n }} per 1h"}]'
    assert (loaded(text).detectors[0].hold, loaded(text).detectors[0].limit) == (10.0, Limit(3, 3600.0))
    assert loaded(text, extra_vars={"hold": "1m"}).detectors[0].hold == 60.0


def test_the_languages_own_keys_may_use_nothing_else(findings):
    assert findings("""for: "{{ incident.x }}"\ndetectors: [{name: d, port: 1}]""") == [
        ("RB010", 2, 6, "`incident` is not known when the runbook is read")
    ]


def test_vars_from_outside_win(loaded):
    book = loaded("vars: {a: 1, b: 2}", extra_vars={"b": 3, "c": "{{ a }}"})
    assert (book.vars["a"], book.vars["b"], book.vars["c"].text) == (1, 3, "{{ a }}")


def test_a_var_from_outside_with_a_wrong_template_is_named(findings):
    [(code, line, column, message)] = findings("", extra_vars={"c": "{{ a"})
    assert (code, line, column) == ("RB010", 1, 1)
    assert message.startswith("-e c: ")


def test_components_and_secrets_are_typed(loaded):
    book = loaded("""
        components: {hub: {breaker: {failures: 3, timeout: 1m}, window: 10}}
        secrets: {t: {env: HF_TOKEN}, f: {file: /x}}
    """)
    assert book.components == {"hub": {"breaker": {"failures": 3, "timeout": 60.0}, "window": 10}}
    assert (book.secrets["t"].env, book.secrets["f"].file) == ("HF_TOKEN", "/x")


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("finally:\n  - wait: 3s\n    when: a and", 4, 15),
        ("finally:\n  - notify: 'it''s {{ a + }}'", 3, None),
        ('finally:\n  - shell: |\n      echo\n      echo "{{ a b }}"\n', 5, None),
        ("vars:\n  a:\n    - 'x'\n    - '{{ ( }}'\n", 5, None),
        ("detectors:\n  - {name: d, port: 1, when: [open, 'latency >']}", 3, None),
        ("detectors:\n  - {name: d, port: 1, when: '{{ open }}'}", 3, None),
        ("finally:\n  - notify: '{% if x %}'", 3, None),
    ],
)
def test_a_wrong_expression_is_found_on_its_line(findings, text, line, column):
    [(code, found_line, found_column, _)] = findings(text)
    assert (code, found_line) == ("RB010", line)
    assert column is None or found_column == column


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("finally: [{wait: 3s}, {wait_for: {probe: {port: 1}, when: open, every: 0}}]", 2, 34),
        ("finally: [{wait_for: {probe: {port: 1}, when: 'open and'}}]", 2, 47),
        ("detectors: [{name: d, error: '('}]", 2, 30),
        ("detectors: [{name: d, error: [a, '(']}]", 2, 30),
        ("finally: [{command: 'echo \"'}]", 2, 21),
        ("finally: [{notify: {message: ' '}}]", 2, 20),
    ],
)
def test_a_parameter_that_the_module_refuses_is_found_at_load(findings, text, line, column):
    [(code, *place, _)] = findings(text)
    assert (code, *place) == ("RB011", line, column)


def test_two_detectors_of_one_name_are_reported_at_the_second(findings):
    assert findings("detectors:\n  - {name: d, port: 1}\n  - {name: d, port: 2}") == [
        ("RB015", 4, 12, "a second detector is called `d`, the first stands in line 3")
    ]


def test_two_operations_of_one_name_are_reported_at_the_second(findings):
    assert findings("operations:\n  - {name: d, wait: 1s}\n  - {name: d, wait: 1s}")[0][:3] == ("RB015", 4, 12)


@pytest.mark.parametrize("name", ["incident", "secrets", "and", "none"])
def test_names_that_mean_something_else_are_no_vars(findings, name):
    [(code, line, column, _)] = findings(f"vars: {{'{name}': 1}}")
    assert (code, line, column) == ("RB006", 2, 8)


def test_what_is_wrong_with_a_value_hides_nothing_beside_it(findings):
    codes = [code for code, *_ in findings("""
        detectors:
          - {name: d, port: 1, for: 2 minuts, when: a and, recover: repare, foo: 1}
          - {name: d, port: yes, mode: atuo}
        finally: [{foo: 1}, {wait: 3 s x}, {command: 'a "'}]
    """)]  # fmt: skip
    assert sorted(codes) == sorted(
        ["RB011", "RB010", "RB012", "RB007", "RB003", "RB015", "RB014", "RB008", "RB011", "RB011"]
    )


def test_load_raises_with_every_finding(written):
    with pytest.raises(RunbookInvalid, match="2 errors in the runbook") as caught:
        load.load(written("for: x\nmode: z"))
    assert [finding.code for finding in caught.value.findings] == ["RB011", "RB014"]


def test_a_path_is_located(tmp_path, monkeypatch):
    file = tmp_path / "a.yaml"
    file.write_text("name: x")
    monkeypatch.chdir(tmp_path)
    assert load.locate(str(file)) == file
    assert load.locate("a.yaml").samefile(file)


def test_a_bundled_runbook_is_located_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load.locate("quickstart").name == "quickstart.yaml"
    assert load.locate("quickstart.yaml") == load.locate("quickstart")


def test_a_file_here_wins_over_a_bundled_one_when_its_suffix_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart.yaml").write_text("name: x")
    (tmp_path / "quickstart").mkdir()
    assert load.locate("quickstart.yaml").samefile(tmp_path / "quickstart.yaml")
    assert not load.locate("quickstart").samefile(tmp_path / "quickstart")


def test_a_directory_for_a_file_is_an_error(tmp_path):
    with pytest.raises(UserError, match="this is a directory, not a runbook"):
        load.locate(str(tmp_path))


def test_a_name_that_nothing_bears_gets_the_nearest():
    with pytest.raises(UserError, match="did you mean quickstart"):
        load.locate("quikstart")


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, ""])
def test_a_name_that_can_be_no_file_is_a_user_error(name):
    with pytest.raises(UserError):
        load.locate(name)


def test_operations_without_a_name_of_their_own_are_told_apart(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("name: r\noperations: [{command: [a]}, {command: [b]}, {command: [c], name: command 3}]\n")
    names = [operation.name for operation in load.load(file).operations]
    assert names == ["command", "command 2", "command 3"]


def test_operations_without_names_are_numbered_in_their_order(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("name: x\noperations:\n" + "  - wait: 1s\n" * 3000, encoding="utf-8")
    names = [operation.name for operation in load.load(file).operations]
    assert names == ["wait", *(f"wait {number}" for number in range(2, 3001))]

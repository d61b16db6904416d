"""Rules beyond their documented examples: the cases in which a rule must speak, and those in which it must not."""

import pytest

from runbook.engine.language import load
from runbook.engine.language.lint import check

HTTP = "name: example\nlimit: 3 per 1h\ndetectors:\n  - name: server down\n    http: http://127.0.0.1:8000/health\n"
IDLE = "name: example\nfinally: [notify: done]\n"


@pytest.fixture
def lint(tmp_path):
    def run(text):
        path = tmp_path / "runbook.yaml"
        path.write_text(text, encoding="utf-8")
        return check(load.examine(path))

    return run


@pytest.fixture
def codes(lint):
    return lambda text: [finding.code for finding in lint(text)]


def finally_(step, head=""):
    return f"name: example\n{head}finally:\n  - {step}\n"


def test_an_undefined_name_is_located_at_the_name_with_the_nearest_one(lint):
    [found] = lint(finally_('notify: "{{ prot }} of {{ port }}"', "vars: {port: 8000}\n"))
    assert (found.code, found.span.line, found.span.column, found.span.end_column) == ("RB017", 4, 17, 21)
    assert found.hint == "did you mean port?"


def test_names_are_located_in_folded_and_quoted_texts(lint):
    text = "name: example\nfinally:\n  - notify: >-\n      first line\n      and {{ missing }} here\n"
    [found] = lint(text)
    assert (found.span.line, found.span.column) == (5, 14)


@pytest.mark.parametrize(
    "text",
    ["{{ x | default('') }}", "{{ x is defined }}", "{{ host }} {{ run.id }} {{ runbook.dir }} {{ run.scratch }}"],
)
def test_names_that_are_provided_for_are_not_undefined(codes, text):
    assert codes(finally_(f'notify: "{text}"')) == []


def test_a_key_that_a_word_does_not_have_is_undefined(codes):
    assert codes(finally_('notify: "{{ run.scrach }}"')) == ["RB017"]
    assert codes(finally_('notify: "{{ incident.host }}"')) == ["RB017"]


def test_fields_of_named_groups_are_known(codes):
    text = (
        "name: example\ndetectors:\n  - name: d\n"
        "    log: {paths: [/var/log/x], patterns: ['gpu (?P<gpu>[0-9]{1,2}) (?P<what>\\w{1,9})']}\n    when: gpu > 1 and WHAT == 'x'\n"
    )
    assert codes(text.replace("WHAT", "what")) == []
    assert codes(text.replace("WHAT", "wat")) == ["RB018"]


def test_a_condition_of_wait_for_is_judged_by_its_own_probe(codes):
    assert codes(finally_("wait_for: {probe: {http: http://127.0.0.1/}, when: status == 200}")) == []
    assert codes(finally_("wait_for: {probe: {http: http://127.0.0.1/}, when: statsu == 200}")) == ["RB018"]
    assert codes(finally_("wait_for: {probe: {port: 80}, when: status == 200}")) == ["RB018"]


def test_a_correlation_may_use_the_fields_of_its_members(codes):
    text = (
        HTTP + "    when: status != 200\n  - name: full\n    health: /srv\n    when: disk_free < 1GB\n"
        "  - name: both\n    all: [server down, full]\n    within: 5m\n    recover: [notify: '{{ incident.FIELD }}']\n"
    )
    assert codes(text.replace("FIELD", "status")) == []
    assert codes(text.replace("FIELD", "statsu")) == ["RB018"]


@pytest.mark.parametrize(
    ("when", "code"),
    [
        ("status != 200", None),
        ("latency > 10m", None),
        ("latency > 10GB", "RB021"),
        ("status == '200'", "RB021"),
        ("status > 500 and status < 400", "RB022"),
        ("false", "RB022"),
        ("true", "RB023"),
        ("latency < 0", "RB022"),
        ("ok == 1", "RB021"),
        ("body is search('.*x')", "RB027"),
    ],
)
def test_conditions_are_judged_by_the_fields_they_are_about(codes, when, code):
    assert codes(f'{HTTP}    when: "{when}"\n') == ([code] if code else [])


@pytest.mark.parametrize(
    ("writable", "path", "refused"),
    [
        ("[/srv/llm]", "/srv/llm/a.json", False),
        ("[/srv/llm]", "/srv/llmx/a.json", True),
        ("[/srv/llm]", "/srv/llm/../x/a.json", True),
        ("[/srv/llm]", "a.json", True),
        ("[]", "/srv/llm/a.json", True),
        ("['{{ root }}']", "{{ root }}/a.json", False),
        ("['{{ root }}']", "/srv/root/a.json", False),
        ("['{{ root }}']", "/srv/other/a.json", True),
        ("['{{ run.scratch }}']", "{{ run.scratch }}/a.json", False),
        ("['{{ run.scratch }}/x']", "{{ run.scratch }}/a.json", True),
        ("[/srv/llm]", "{{ host }}", False),  # can't be told
        ("[/srv/llm]", "/srv/{{ host }}/a.json", False),  # the host may be called llm
        ("[/srv/llm]", "/var/x/{{ host }}", True),
        ("['/srv/{{ host }}']", "/srv/{{ host }}/a.json", False),
        ("['/srv/{{ host }}']", "/opt/a.json", True),
    ],
)
def test_paths_are_held_against_what_is_writable(codes, writable, path, refused):
    text = finally_(
        f'edit_config: {{path: "{path}", set: {{a: 1}}}}', f"vars: {{root: /srv/root}}\nwritable: {writable}\n"
    ).replace("name: example", "name: example\ndescription: root {{ root }}")
    assert codes(text) == (["RB033"] if refused else [])


@pytest.mark.parametrize(
    "entry", ["/", "/etc", "/usr/lib", "/home/anna", "/root", "srv/x", "/srv/../etc", "/proc/sys", "/var/lib/"]
)
def test_an_entry_that_protects_nothing_is_refused(codes, entry):
    assert codes(f"{IDLE}writable: [{entry}]\n") == ["RB034"]


@pytest.mark.parametrize("entry", ["/srv/llm", "/var/lib/llm", "/dev/shm/cache", "/home/anna/models", "/opt/llm"])
def test_a_directory_of_ones_own_may_be_writable(codes, entry):
    assert codes(f"{IDLE}writable: [{entry}]\n") == []


SECRETS = [
    "hf_" + "a" * 34,
    "ghp_" + "a" * 36,
    "sk-proj-" + "a" * 40,
    "AKIA" + "A" * 16,
    "xoxb-" + "1" * 12,
    "https://anna:" + "hunter22@example.org/x",
    "-----BEGIN RSA " + "PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_known_by_its_shape_even_in_a_comment(codes, secret):
    assert codes(finally_(f"notify: '{secret}'")) == ["RB031"]
    assert codes(f"{IDLE}# {secret}\n") == ["RB031"]


def test_a_secret_is_found_in_a_file_that_does_not_load(codes):
    assert sorted(codes(f"name: example\ncooldwon: {SECRETS[0]}\n")) == ["RB007", "RB031"]


@pytest.mark.parametrize(
    "given",
    [
        "token: '{{ secrets.x }}'",
        "token_file: /etc/token",
        "password: /run/secrets/x",
        "max_tokens: '4096'",
        "token: $HF_TOKEN",
        "password: ''",
        "secret: a sentence with spaces",
    ],
)
def test_what_only_points_to_a_secret_is_none(codes, given):
    text = finally_(f"edit_config: {{path: /srv/x/a.json, set: {{{given}}}}}", "writable: [/srv/x]\n")
    assert "RB031" not in codes(text)


def test_a_var_made_of_an_incident_stays_host_text(codes):
    text = (
        "name: example\nvars:\n  who: '{{ incident.host | upper }}'\n  whom: '{{ who }}'\nlimit: 1 per 1h\n"
        "detectors:\n  - name: d\n    http: http://127.0.0.1/\n    when: status != 200\n"
        "    recover:\n      - shell: 'echo {{ whom }}' # noqa: RB035\n"
    )
    assert codes(text) == ["RB029"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("[logger, --, '{{ incident.host }}']", None),
        ("[logger, 'x{{ incident.host }}']", None),
        ("[logger, '{{ incident.host }}']", "RB030"),
        ("['{{ incident.host }}']", "RB029"),
        ("[bash, -c, '{{ incident.host }}']", "RB029"),
        ("[ssh, '{{ incident.host }}']", "RB029"),
        ("logger -- {{ incident.host }}", None),
        ("logger {{ incident.host }}", "RB030"),
    ],
)
def test_words_of_a_command_are_judged_one_by_one(codes, command, code):
    text = HTTP + f"    when: status != 200\n    recover:\n      - command: {command} # noqa: RB035\n"
    assert [found for found in codes(text) if found != "RB030" or code == "RB030"] == ([code] if code else [])


def test_results_may_be_used_after_they_were_registered(codes):
    steps = "writable: [/srv/x]\nfinally:\n  - edit_config: {path: /srv/x/a.json, set: {a: 1}}\n    register: made\n"
    assert codes("name: example\n" + steps + "  - notify: '{{ made.changed }}'\n") == []
    assert codes("name: example\n" + steps) == ["RB047"]


def test_mode_auto_counts_wherever_it_is_written(codes):
    text = (
        "name: example\nlimit: 1 per 1h\nwritable: [/srv/c]\n{top}detectors:\n  - name: d\n    health: /srv\n"
        "    when: disk_free < 1GB\n{detector}    recover:\n      - clear_cache: {{path: /srv/c, older_than: 1d}}\n{step}"
    )
    none = {"top": "", "detector": "", "step": ""}
    assert codes(text.format(**none)) == []
    assert codes(text.format(**{**none, "top": "mode: auto\n"})) == ["RB036"]
    assert codes(text.format(**{**none, "detector": "    mode: auto\n"})) == ["RB036"]
    assert codes(text.format(**{**none, "step": "        mode: auto\n"})) == ["RB036"]
    assert codes(text.format(**{**none, "detector": "    mode: auto\n", "step": "        mode: approve\n"})) == []


def test_a_named_recovery_counts_for_each_detector_that_uses_it(codes):
    text = (
        "name: example\ndetectors:\n  - name: a\n    http: http://127.0.0.1/\n    when: status != 200\n    recover: again\n"
        "recoveries:\n  again:\n    - restart_daemon: {unit: vllm}\n"
    )
    assert codes(text) == ["RB037"]
    assert codes(text.replace("    recover: again\n", "    recover: again\n    limit: 2 per 1h\n")) == []


@pytest.mark.parametrize("part", ["hosts: localhost", "become: false", "max_unavailable: 5%", "every: '*/5 * * * *'"])
def test_what_is_carried_out_or_says_nothing_passes(codes, part):
    assert codes(f"{IDLE}{part}\n") == []


@pytest.mark.parametrize("part", ["", "vars: {}", "detectors: []", "cooldown: 1m"])
def test_a_runbook_that_does_nothing_is_no_well_host(codes, part):
    assert codes(f"name: example\n{part}\n") == ["RB051"]


def test_one_finding_is_told_once_however_many_detectors_a_default_holds_for(codes):
    text = "name: example\nfor: 5s\ndetectors:\n" + "".join(
        f"  - name: d{n}\n    port: {8000 + n}\n    when: not open\n" for n in range(3)
    )
    assert codes(text) == ["RB039"]


def test_what_a_used_runbook_holds_is_judged_in_its_own_file_only(tmp_path):
    (tmp_path / "used.yaml").write_text(
        "name: used\ndetectors:\n  - name: d\n    http: http://127.0.0.1/\n    when: status != 200\n"
        "    recover:\n      - restart_daemon: {unit: vllm}\n"
    )
    (tmp_path / "runbook.yaml").write_text("name: example\nuse: [./used.yaml]\n")
    assert check(load.examine(tmp_path / "runbook.yaml")) == []
    assert [found.code for found in check(load.examine(tmp_path / "used.yaml"))] == ["RB037"]


POOLED = """
name: example
writable: [/srv/llm]
{top}
secrets: {{token: {{env: TOKEN}}}}
operations:
  - name: tell
    pool: endpoints
    edit_config: {{path: /srv/llm/x.json, set: {{port: "{{{{ member.port }}}}", key: "{{{{ secrets.token }}}}"}}}}
    timeout: 1m
    {extra}
pools:
  endpoints:
    members: [{{name: a, port: 1}}, {{name: b, port: 2}}]
    switch: [{{notify: "{{{{ from.name }}}} to {{{{ to.port }}}}"}}]
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", []),
        ("member.port", "member.prot", ["RB017"]),
        ("member.port", "member.level", []),
        ("to.port", "to.prot", ["RB017"]),
        ("{name: b, port: 2}", "{name: b, prt: 2}", ["RB058", "RB058"]),
        ("{name: b, port: 2}", "{name: b, port: '{{ prot }}'}", ["RB017"]),
        ("\n    EXTRA", "\n    prefer: member.port == 1", []),
        ("\n    EXTRA", "\n    prefer: member.level == 'helthy'", ["RB020"]),
        ("\n    EXTRA", "\n    prefer: member.breaker != 'opened'", ["RB020"]),
        ("\n    EXTRA", "\n    prefer: prot == 1", ["RB017"]),
        ("\n    EXTRA", "\n    redundancy: 2", []),
        ("\n    EXTRA", "\n    redundancy: 3", ["RB061"]),
        ("\n    EXTRA", "\n    retry: {within: 1m, base: 0}", ["RB062"]),
        ("\n    EXTRA", "\n    fallback: [{wait: 1s}, {notify: x}]", ["RB059"]),
        ("\n    EXTRA", '\n    fallback: [{notify: "{{ error.message }}"}]', []),
        ("\n    EXTRA", '\n    fallback: [{notify: "{{ error.mesage }}"}]', ["RB017"]),
        ("\n    EXTRA", '\n    fallback: [{notify: "{{ member.port }}"}]', ["RB017"]),
        ("    pool: endpoints\n", "    prefer: 1 > 0\n", ["RB043", "RB017"]),
        ("{{ member.port }}", "1", ["RB043"]),
        ("TOP", "fault_tolerance: low", []),
        ("TOP\n", "fault_tolerance: none\n", []),
        ("TOP", "components: {endpoints: {breaker: {timeout: 0s}}}", ["RB060"]),
        ("TOP", "components: {endpoints.a: {window: 4}}", ["RB060"]),
        ("TOP", "components: {endpoints.d: {breaker: {}}}", ["RB060"]),
        ("TOP", "components: {endpoints.a: {breaker: {failures: 3}}}", []),
    ],
)
def test_what_can_go_wrong_with_a_pool_is_told(codes, old, new, expected):
    text = POOLED.format(top="TOP", extra="EXTRA")
    assert not old or old in text
    text = (text.replace(old, new) if old else text).replace("TOP\n", "").replace("    EXTRA\n", "")
    assert codes(text) == expected


@pytest.mark.parametrize(
    ("preset", "extra", "expected"),
    [
        ("none", "retry: {attempts: 2}", ["RB043"]),
        ("medium", "fallback: [{notify: x}]", ["RB043"]),
        ("high", "redundancy: 2", ["RB043"]),
        ("critical", "redundancy: 2", []),
        ("high", "fallback: [{notify: x}]", []),
        ("low", "retry: {attempts: 2}", []),
    ],
)
def test_what_the_preset_leaves_out_is_told(codes, preset, extra, expected):
    assert codes(POOLED.format(top=f"fault_tolerance: {preset}", extra=extra)) == expected


def test_a_secret_of_a_member_is_one_wherever_it_is_read(codes):
    text = POOLED.format(top="", extra="").replace("port: 1}", 'port: "{{ secrets.token }}"}')
    shown = text.replace("edit_config: {", "command: [curl, '{{ member.port }}']\n    # {")
    assert "RB032" in codes(shown)

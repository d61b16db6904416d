import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.engine.errors import RenderError
from runbook.engine.language import params, render
from runbook.engine.language.expression import parse
from runbook.engine.model import Runbook, StepCall
from runbook.modules import catalogue

HOSTILE = "'; touch /tmp/x; {{ 7*7 }} $(id)"
INCIDENT = {
    "id": "7f2",
    "host": "gpu01",
    "subject": "vllm",
    "severity": "high",
    "line": HOSTILE,
    "option": "--force",
    "path": "/srv/cache/x",
    "nul": "a\0b",
    "pids": [1, 2],
}
SECRETS = {"token": "hf_s3cr3t/+x y"}


def template(given):
    if isinstance(given, str) and "{{" in given:
        return parse(given, template=True)
    if isinstance(given, dict):
        return {key: template(value) for key, value in given.items()}
    if isinstance(given, (list, tuple)):
        return [template(value) for value in given]
    return given


def scope(registers=None, **variables):
    runbook = Runbook(name="llm", file="llm.yaml", vars=template(variables))
    return render.Scope(
        runbook, host="gpu01", run={"id": "0a1b2c3d"}, secrets=SECRETS, incident=INCIDENT, registers=registers or {}
    )


def call(module, **given):
    return StepCall(module=module, params=template(given), path=("detectors", 0, "recover", 1, module))


def order(module, /, *, within=None, **given):
    return render.order(call(module, **given), within or scope())


def refused(match, module, /, *, within=None, **given):
    with pytest.raises(render.Refused, match=match) as caught:
        order(module, within=within, **given)
    return caught.value


def test_an_order_has_its_values_typed_and_its_defaults_from_the_module():
    made = order("command", argv="make -C {{ dir }} -j{{ 2 * 4 }}", within=scope(dir="/srv/a b"))
    assert made.params == {"argv": ("make", "-C", "/srv/a b", "-j8")}
    assert made.timeout == catalogue.step("command").timeout
    assert (made.host_text, made.secret) == (frozenset(), frozenset())
    assert made.path == ("detectors", 0, "recover", 1, "command")


def test_durations_and_sizes_may_come_from_vars_as_text_or_number():
    within = scope(age="7d", half="{{ age / 2 }}", late="{{ n }}m", n=5)
    assert within["age"] == 604800
    assert order("wait", duration="{{ half }}", within=within).params == {"duration": 302400.0}
    assert order("wait", duration="{{ late }}", within=within).params == {"duration": 300.0}
    assert order("notify", message="older than {{ age }}", within=within).params["message"] == "older than 7d"


def test_an_amount_of_another_kind_is_an_error_with_its_place():
    with pytest.raises(RenderError, match="wait: duration: expected a duration, not 50GB") as caught:
        order("wait", duration="{{ size }}", within=scope(size="50GB"))
    assert caught.value.where == "llm.yaml: detectors[0].recover[1].wait"


def test_a_hostile_line_stays_one_word_and_is_never_rendered():
    made = order("command", argv="printf %s {{ incident.line }} 'a {{ incident.line }} b'")
    assert made.params["argv"] == ("printf", "%s", HOSTILE, f"a {HOSTILE} b")
    assert made.host_text == {"argv"}


def test_a_hostile_line_passes_through_every_text_unchanged():
    assert order("notify", message="{{ incident.line }}").params["message"] == HOSTILE
    assert order("fail", message="saw {{ incident.line }}").params["message"] == f"saw {HOSTILE}"
    made = order("shell", script='echo "$LINE"', env={"LINE": "{{ incident.line }}"})
    assert made.params == {"script": 'echo "$LINE"', "env": {"LINE": HOSTILE}}
    assert made.host_text == {"env"}


@given(st.text(min_size=1).filter(lambda text: "\0" not in text and not text.startswith("-")))
def test_whatever_a_host_writes_becomes_exactly_one_word(line):
    within = scope().bind(incident={**INCIDENT, "line": line})
    made = order("command", argv="logger {{ incident.line }} end", within=within)
    assert made.params["argv"] == ("logger", line, "end")


def test_host_text_is_refused_in_a_script():
    error = refused(
        r"script: host text \(incident\) can't be part of a script", "shell", script="echo {{ incident.line }}"
    )
    assert "env: {NAME" in error.mend
    assert error.where == "llm.yaml: detectors[0].recover[1].shell"


@pytest.mark.parametrize(
    "text",
    [
        "{{ incident.line | slug }}",
        "{{ incident.id }}",
        "{{ seen }}",
        "{{ through }}",
        "{{ out.output | quote }}",
        "{{ 'a' if incident.line else 'b' }}",
        "{{ listed[0] }}",
        "{{ {'a': incident}['a'].id }}",
    ],
)
def test_neither_filters_nor_vars_nor_results_launder_host_text(text):
    within = scope(
        registers={"out": {"output": "x"}},
        seen="{{ incident.line | lower }}",
        through="{{ seen }}",
        listed=["{{ incident.id }}"],
    )
    refused("can't be part of a script", "shell", script=f"echo {text}", within=within)
    assert order("notify", message=text, within=within).host_text == {"message"}


FILTERS = [
    "lower",
    "trim",
    "slug",
    "quote",
    "string",
    "to_json",
    "length",
    "list | join",
    "default('x')",
    "bool | string",
]


@given(st.lists(st.sampled_from(FILTERS), max_size=4), st.booleans())
def test_whatever_filters_are_applied_the_parameter_is_marked_as_host_text(chain, by_var):
    text = "{{ " + " | ".join(["incident.path", *chain]) + " }}"
    within = scope(v=text) if by_var else scope()
    given_text = template("{{ v }}" if by_var else text)
    assert render.host_text(given_text.names, within)
    assert render.host_text(given_text.names, within.runbook)
    refused("can't be part of a script", "shell", script=f"echo {given_text.text}", within=within)


def test_names_are_judged_without_any_value():
    runbook = Runbook(
        name="x",
        file="x.yaml",
        vars=template(
            {"a": "{{ b }}", "b": ["{{ out.output }}"], "c": "{{ host }}", "d": "{{ secrets.token }}", "e": "{{ e }}"}
        ),
        finally_=(StepCall(module="command", params={}, path=(), register="out"),),
    )
    assert render.host_text({"a"}, runbook)
    assert not render.host_text({"c", "d", "e", "host", "secrets", "run"}, runbook)
    assert render.host_text({"temperature"}, runbook, fields=["temperature"])
    assert render.secret({"d"}, runbook)
    assert not render.secret({"a", "c"}, runbook)


def test_host_text_that_would_be_an_option_needs_the_two_dashes():
    error = refused(r"'--force', which would be an option", "command", argv="rm {{ incident.option }}")
    assert error.mend == "put the word -- before it"
    assert order("command", argv="rm -- {{ incident.option }}").params["argv"] == ("rm", "--", "--force")
    assert order("command", argv=["tool", "--file={{ incident.option }}"]).params["argv"] == ("tool", "--file=--force")
    assert order("command", argv=["kill", "{{ n }}"], within=scope(n="-9")).params["argv"] == ("kill", "-9")


@pytest.mark.parametrize(
    "word", ["-{{ incident.path }}", "{{ empty }}{{ incident.option }}", "{{ '-' }}{{ incident.path }}"]
)
def test_dashes_before_host_text_do_not_hide_an_option(word):
    refused("would be an option", "command", argv=["rm", word], within=scope(empty=""))


@pytest.mark.parametrize(
    "argv",
    [
        "bash -c {{ incident.line }}",
        "bash -c 'echo {{ incident.line }}'",
        "/usr/bin/python3.11 -c {{ incident.line }}",
        "sudo -u x bash -lc {{ incident.line }}",
        "ssh gpu02 {{ incident.line }}",
        "perl -e {{ incident.line }}",
    ],
)
def test_host_text_is_no_code_for_an_interpreter(argv):
    refused("would be code for", "command", argv=argv)


def test_host_text_is_no_program_no_input_of_a_shell_and_no_pattern():
    refused("can't name the program", "command", argv="{{ incident.path }} --version")
    refused("stdin: host text would be code", "command", argv="bash -s", stdin="{{ incident.line }}")
    refused("can't be a regular expression", "restart_daemon", unit="x", match="{{ incident.line }}")
    refused("NUL", "command", argv="logger x{{ incident.nul }}")


def test_a_shell_may_get_host_text_as_an_argument_behind_its_code():
    made = order("command", argv="""bash -c 'echo "$1"' _ {{ incident.line }}""")
    assert made.params["argv"] == ("bash", "-c", 'echo "$1"', "_", HOSTILE)


def test_a_list_is_no_word_but_a_var_may_be_the_whole_command():
    with pytest.raises(RenderError, match=r"'\{\{ incident.pids \}\}' is a list, but a word of a command is one value"):
        order("command", argv="kill {{ incident.pids }}")
    within = scope(build=["make", "-C", "a b"])
    assert order("command", argv="{{ build }}", within=within).params["argv"] == ("make", "-C", "a b")


def test_the_command_line_is_split_before_templating_with_quotes_inside_templates():
    made = order("command", argv="""echo {{ 'a b' }} "{{ x }} y" {{ "it's" }}""", within=scope(x="q' z"))
    assert made.params["argv"] == ("echo", "a b", "q' z y", "it's")
    with pytest.raises(RenderError, match="can't be split into words: no closing quotation"):
        order("command", argv="echo '{{ x }}", within=scope(x=1))


def test_secrets_are_marked_and_never_words_or_script():
    made = order("shell", script="login", env={"TOKEN": "{{ secrets.token }}"})
    assert made.secret == {"env.TOKEN"}
    assert made.params["env"] == {"TOKEN": SECRETS["token"]}
    refused("a secret can't stand in a command's words", "command", argv="curl -H {{ secrets.token }}")
    refused(
        "a secret can't stand in a command's words",
        "command",
        argv=["curl", "{{ h }}"],
        within=scope(h="{{ secrets.token }}"),
    )
    refused("a secret can't be part of a script", "shell", script="login {{ secrets.token | quote }}")


def test_paths_made_of_host_text_are_named():
    made = order("clear_cache", path="{{ incident.path }}", older_than="7d")
    assert made.host_text == {"path"}
    assert made.params["path"] == "/srv/cache/x"


def test_a_nested_probe_is_filled_in_under_the_same_rules():
    made = render.order(
        call(
            "wait_for", probe={"port": {"address": "{{ incident.host }}:80", "timeout": "2s"}}, when="open", every="1s"
        ),
        scope(),
    )
    assert made.params["probe"] == {"port": {"address": "gpu01:80", "timeout": 2.0}}
    assert made.host_text == {"probe"}
    refused("can't name the program", "wait_for", probe={"command": "{{ incident.line }}"}, when="exit_code == 0")


def test_a_condition_is_no_template():
    probe = {"port": "80"}
    assert order("wait_for", probe=probe, when="open and latency < 5s").params["when"] == "open and latency < 5s"
    refused("a condition is an expression and no template", "wait_for", probe=probe, when="{{ incident.line }}")


def test_a_probe_of_a_detector_is_filled_in_too():
    assert render.probe("port", template({"address": "{{ host }}:{{ p }}"}), scope(p=80)) == {"address": "gpu01:80"}
    with pytest.raises(RenderError, match="port: address: 'nope' is undefined"):
        render.probe("port", template({"address": "{{ nope }}"}), scope())


def test_vars_are_rendered_once_and_their_values_never():
    within = scope(a="{{ b }}/x", b="{{ raw }}", raw=HOSTILE.replace("{{", "{ {"), line="{{ incident.line }}")
    assert within["a"] == HOSTILE.replace("{{", "{ {") + "/x"
    assert within["line"] == HOSTILE
    assert render.value(template("{{ line }}"), within) == HOSTILE


def test_vars_that_name_each_other_in_a_circle_are_an_error():
    with pytest.raises(RenderError, match="the vars a → b → a name each other in a circle"):
        scope(a="{{ b }}", b=["{{ a }}"])["a"]


def test_an_undefined_name_inside_a_var_is_no_default_case():
    with pytest.raises(RenderError, match="in the var 'a': 'nope' is undefined"):
        render.value(template("{{ a | default('x') }}"), scope(a="{{ nope }}"))


def test_undefined_names_are_told_with_the_nearest_var():
    with pytest.raises(RenderError, match=r"notify: message: 'modle' is undefined; did you mean model\?"):
        order("notify", message="{{ modle }}", within=scope(model="x"))


def test_an_unknown_value_fills_nothing_in():
    with pytest.raises(RenderError, match="is unknown"):
        render.value(template("{{ 1 / 0 }}"), scope())


def test_a_bound_scope_sees_what_is_new_and_shares_what_is_fixed():
    within = scope(root="/srv/{{ runbook.name }}", what="{{ incident.subject }}")
    other = within.bind(incident={**INCIDENT, "subject": "other"}, member={"port": 1})
    assert (within["root"], other["root"]) == ("/srv/llm", "/srv/llm")
    assert (within["what"], other["what"]) == ("vllm", "other")
    assert other["member"]["port"] == 1
    assert "member" not in within


def test_record_fields_are_host_text_and_severities_compare():
    looked = scope().bind(record={"temperature": 90, "name": HOSTILE})
    assert parse("temperature > 85 and incident.severity >= 'medium'", template=False).evaluate(looked) is True
    assert render.host_text({"name"}, looked)
    assert not render.host_text({"name"}, scope())


def test_the_scope_names_the_run_the_host_and_the_runbook():
    made = render.value(template("{{ host }} {{ run.id }} {{ runbook.name }} {{ runbook.file }}"), scope())
    assert made == "gpu01 0a1b2c3d llm llm.yaml"
    assert scope()["runbook"]["dir"].startswith("/")


def test_writable_trees_are_absolute_and_never_of_host_text():
    def trees(*entries, **variables):
        runbook = Runbook(name="x", file="x.yaml", vars=template(variables), writable=tuple(template(list(entries))))
        return render.writable(render.Scope(runbook, incident=INCIDENT))

    assert trees("{{ root }}/a", "/b", root="/srv") == ("/srv/a", "/b")
    with pytest.raises(RenderError, match="writable: is made of what a host wrote") as caught:
        trees("/b", "{{ incident.path }}")
    assert caught.value.where == "x.yaml: writable[1]"
    with pytest.raises(RenderError, match="'srv' is no absolute path"):
        trees("srv")


def test_a_redactor_masks_a_secret_in_every_form_it_takes():
    secret = SECRETS["token"]
    mask = render.redactor([secret])
    forms = [
        secret,
        json.dumps({"a": secret}),
        quote(secret),
        quote(secret, safe=""),
        quote(secret, safe="").replace("%2F", "%2f").replace("%2B", "%2b"),
        base64.b64encode(secret.encode()).decode(),
        base64.urlsafe_b64encode(secret.encode()).decode(),
        base64.b64encode(f"user:{secret}".encode()).decode(),
        base64.b64encode(f"ab:{secret}:tail".encode()).decode(),
    ]
    for form in forms:
        masked = mask(f"before {form} after")
        assert "***" in masked, form
        assert masked.startswith("before")
        assert masked.endswith("after")
        assert secret not in masked


def test_a_redactor_masks_the_lines_of_a_key_and_longer_secrets_first():
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"
    mask = render.redactor({"key": key, "part": "kqhk"})
    assert mask("x MIIEvQIBADANBg y") == "x *** y"
    assert mask("kqhkiG9w0BAQEF") == "***"
    assert mask(json.dumps(key)) == '"***"'
    assert render.redactor([])("text") == "text"


@pytest.mark.parametrize("value", ["", "abc"])
def test_a_secret_too_short_to_mask_is_refused(value):
    with pytest.raises(RenderError, match="the secret 'pin' has fewer than 4 characters"):
        render.redactor({"pin": value})
    with pytest.raises(RenderError, match="a secret has fewer"):
        render.redactor([value])


@given(st.text(min_size=4, max_size=30).filter(lambda text: text.strip() == text), st.text(max_size=20))
def test_no_secret_survives_redaction(secret, around):
    mask = render.redactor([secret])
    assert secret not in mask(around + secret + around)
    assert json.dumps(secret)[1:-1] not in mask(json.dumps([around, secret]))


PLAIN = st.recursive(st.integers() | st.booleans() | st.text(max_size=10), lambda inner: st.lists(inner, max_size=3))


@given(st.sampled_from(catalogue.step_names()), st.data())
def test_a_hostile_line_in_any_parameter_of_any_step_is_kept_whole_or_refused(module, data):
    cls = catalogue.step(module)
    name = data.draw(st.sampled_from(list(params.fields(cls)) or ["none"]))
    shape = data.draw(
        st.sampled_from(
            [
                "{{ incident.line }}",
                ["{{ incident.line }}"],
                ["prog", "{{ incident.line }}"],
                {"k": "{{ incident.line }}"},
            ]
        )
    )
    required = {each.name: data.draw(PLAIN) for each in params.fields(cls).values() if each.required}
    made = _order_or_refusal(call(module, **{**required, name: shape}))
    if isinstance(made, RenderError):
        assert made.what.startswith(module)
        return
    assert HOSTILE in _texts(made.params[name])
    assert name in made.host_text


def _order_or_refusal(step):
    try:
        return render.order(step, scope())
    except RenderError as error:
        return error


def _texts(value):
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, (list, tuple)):
        return [text for each in value for text in _texts(each)]
    return [value]

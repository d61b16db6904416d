"""The schema that editors read: made from the modules, complete, and itself valid."""

import json
import subprocess
import sys

import jsonschema
import pytest

from runbook.engine.language import schema
from runbook.engine.model import Backoff, Mode, Severity, Strategy
from runbook.modules import catalogue

MODULES = [f"step.{name}" for name in catalogue.step_names()] + [f"probe.{name}" for name in catalogue.probe_names()]


@pytest.fixture(scope="module")
def document():
    return schema.document()


def test_the_schema_is_valid_draft_2020_12(document):
    jsonschema.Draft202012Validator.check_schema(document)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_schema_is_json(document):
    assert json.loads(json.dumps(document)) == document


def test_every_reference_leads_somewhere(document):
    def references(part):
        if isinstance(part, dict):
            yield from [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            for each in part.values():
                yield from references(each)
        if isinstance(part, list):
            for each in part:
                yield from references(each)

    names = {each.removeprefix("#/$defs/") for each in references(document)}
    assert names <= set(document["$defs"])


def test_every_module_is_in_it_with_what_it_is_for(document):
    assert set(MODULES) <= set(document["$defs"])
    for name in MODULES:
        assert document["$defs"][name]["description"], name


def test_every_key_of_the_language_is_described(document):
    for name in ("step", "operation", "detector", "verify", "retry", "pool", "component", "secret", "block"):
        for key, part in document["$defs"][name]["properties"].items():
            assert part.get("description") or part["$ref"].startswith(("#/$defs/step.", "#/$defs/probe.")), (name, key)
    for key, part in document["properties"].items():
        assert part.get("description"), key


def test_every_parameter_of_a_module_is_described(document):
    for name in MODULES:
        for key, part in document["$defs"][name]["anyOf"][0]["properties"].items():
            assert part.get("description"), (name, key)


def test_closed_sets_are_those_of_the_types(document):
    keys = document["$defs"]["detector"]["properties"]
    for key, members in (("severity", Severity), ("mode", Mode), ("strategy", Strategy)):
        assert keys[key]["enum"] == [member.value for member in members]
    assert document["$defs"]["retry"]["properties"]["strategy"]["enum"] == [member.value for member in Backoff]


def test_all_but_name_when_and_the_probe_may_stand_at_the_top():
    core = schema.core()
    detector = set(core["$defs"]["detector"]["properties"]) - set(catalogue.probe_names())
    assert detector - set(core["properties"]) == {"when"}


def test_the_core_imports_no_module():
    code = (
        "import sys; from runbook.engine.language import schema; schema.core(); "
        "print([name for name in sys.modules if name.startswith(('runbook.modules.steps.', 'runbook.modules.probes.'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_module_that_does_not_exist_is_a_key_error():
    with pytest.raises(KeyError, match="nothing_of_that_name"):
        schema.step("nothing_of_that_name")


@pytest.mark.parametrize(
    ("document_", "valid"),
    [
        ({"name": "x"}, True),
        ({}, False),
        ({"name": "x", "every": "*/5 * * * *"}, True),
        ({"name": "x", "operations": [{"command": "make", "timeout": "{{ t }}"}]}, True),
        ({"name": "x", "operations": [{"command": {"argv": ["make", "{{ x }}"], "creates": "/x"}}]}, True),
        ({"name": "x", "operations": [{"command": "make", "wait": "3s"}]}, False),
        ({"name": "x", "operations": [{"name": "nothing"}]}, False),
        ({"name": "x", "finally": [{"wait": "3s"}]}, True),
        ({"name": "x", "finally": [{"wait": 3}]}, False),
        ({"name": "x", "detectors": [{"name": "d", "error": ["a", "b"], "retry": False}]}, True),
        ({"name": "x", "detectors": [{"name": "d", "error": {"exit_codes": [1]}, "retry": True}]}, False),
        ({"name": "x", "detectors": [{"name": "d", "port": 8000, "recover": [{"block": [{"wait": "1s"}]}]}]}, True),
        ({"name": "x", "detectors": [{"name": "d", "port": 8000, "recover": [{"block": []}]}]}, False),
        ({"name": "x", "limit": "3 per 1h", "count": "2 per 24h", "recover": "repair"}, True),
        ({"name": "x", "when": "a"}, False),
        ({"name": "x", "secrets": {"a": {"env": "X", "file": "y"}}}, False),
    ],
)
def test_an_editor_judges_runbooks_by_it(document, document_, valid):
    assert jsonschema.Draft202012Validator(document).is_valid(document_) is valid

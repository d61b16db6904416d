"""schemas/runbook.schema.json: fresh, valid, and of one opinion with the runbooks that come with it."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from runbook.engine.cli.schema import command
from runbook.engine.language import params
from runbook.modules import catalogue

ROOT = Path(__file__).parents[2]
FILE = ROOT / "schemas" / "runbook.schema.json"
RUNBOOKS = [path for folder in ("runbooks", "bench/data") for path in sorted((ROOT / folder).glob("*.yaml"))]
MODULES = [("step", name) for name in catalogue.step_names()] + [("probe", name) for name in catalogue.probe_names()]


@pytest.fixture(scope="module")
def schema():
    return json.loads(FILE.read_text(encoding="utf-8"))


def example(kind, name):
    cls = catalogue.step(name) if kind == "step" else catalogue.probe(name)
    return yaml.safe_load(params.example(cls))


def test_the_file_is_fresh(schema):
    made = CliRunner().invoke(command, [], catch_exceptions=False).output
    assert FILE.read_text(encoding="utf-8") == made, "make schema"


def test_the_file_is_valid_and_says_what_it_is(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"]
    assert schema["title"] == "runbook"
    assert schema["description"]


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.name)
def test_runbooks_that_come_with_it_are_valid(path, schema):
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if data.get("hosts") and "tasks" in data:
        pytest.skip("a playbook")
    jsonschema.validate(data, schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(("kind", "name"), MODULES, ids=lambda part: part)
def test_every_example_is_valid(kind, name, schema):
    items = example(kind, name)
    assert isinstance(items, list)
    assert items
    for item in items:
        if kind == "step":
            runbook = {"name": "x", "operations": [item]}
        else:
            runbook = {"name": "x", "detectors": [{"name": "example", **item}]}
        jsonschema.validate(runbook, schema, cls=jsonschema.Draft202012Validator)

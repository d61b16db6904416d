"""schemas/runbook.schema.json: fresh, valid, and of one opinion with the runbooks that come with it."""

import json
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from runbook.engine.cli.schema import command
from runbook.engine.language import params
from runbook.engine.language.cases import is_cases
from runbook.engine.language.drills import is_drill
from runbook.modules import catalogue

ROOT = Path(__file__).parents[2]
FILE = ROOT / "schemas" / "runbook.schema.json"
FILES = [path for folder in ("runbooks", "bench/data") for path in sorted((ROOT / folder).glob("*.yaml"))]
RUNBOOKS = [path for path in FILES if not is_cases(path.name) and not is_drill(path.name)]
CASES = [path for path in FILES if is_cases(path.name)]
DRILLS = [path for path in FILES if is_drill(path.name)]
MODULES = [("step", name) for name in catalogue.step_names()] + [("probe", name) for name in catalogue.probe_names()]


@pytest.fixture(scope="module")
def schema():
    return json.loads(FILE.read_text(encoding="utf-8"))


@cache
def judge(name):
    """A validator of a schema, which is itself looked at by one test and not by each."""
    return jsonschema.Draft202012Validator(json.loads((FILE.parent / name).read_text(encoding="utf-8")))


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


def test_the_schema_of_cases_is_fresh_and_valid():
    text = (FILE.parent / "test.schema.json").read_text(encoding="utf-8")
    made = CliRunner().invoke(command, ["test"], catch_exceptions=False).output
    assert text == made, "make schema"
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_cases_that_come_with_it_are_valid(path):
    judge("test.schema.json").validate(yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader))


def test_the_schema_of_drills_is_fresh_and_valid():
    text = (FILE.parent / "drill.schema.json").read_text(encoding="utf-8")
    made = CliRunner().invoke(command, ["drill"], catch_exceptions=False).output
    assert text == made, "make schema"
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


@pytest.mark.parametrize("path", DRILLS, ids=lambda path: path.name)
def test_drills_that_come_with_it_are_valid(path):
    judge("drill.schema.json").validate(yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader))


def test_the_schema_of_inventories_is_fresh_and_valid():
    text = (FILE.parent / "inventory.schema.json").read_text(encoding="utf-8")
    made = CliRunner().invoke(command, ["inventory"], catch_exceptions=False).output
    assert text == made, "make schema"
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


@pytest.mark.parametrize(
    "name", ["inventory.example.yaml", "tests/inventories/yaml/top.yaml", "tests/inventories/json/inv.json"]
)
def test_inventories_that_are_read_are_valid(name):
    judge("inventory.schema.json").validate(yaml.load((ROOT / name).read_text(encoding="utf-8"), yaml.CSafeLoader))


@pytest.mark.parametrize(
    "text", ["all: {hosts: [a]}", "all: {host: {a: }}", "g: {hosts: {a: {ansible_port: 0}}}", "g: 5"]
)
def test_what_is_no_inventory_is_not_valid(text):
    assert not judge("inventory.schema.json").is_valid(yaml.load(text, yaml.CSafeLoader))


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.name)
def test_runbooks_that_come_with_it_are_valid(path):
    data = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    if data.get("hosts") and "tasks" in data:
        pytest.skip("a playbook")
    judge(FILE.name).validate(data)


@pytest.mark.parametrize(("kind", "name"), MODULES, ids=lambda part: part)
def test_every_example_is_valid(kind, name):
    items = example(kind, name)
    assert isinstance(items, list)
    assert items
    for item in items:
        if kind == "step":
            runbook = {"name": "x", "operations": [item]}
        else:
            runbook = {"name": "x", "detectors": [{"name": "example", **item}]}
        judge(FILE.name).validate(runbook)

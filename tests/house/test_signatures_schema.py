"""schemas/signatures.schema.json: fresh, valid, and of one opinion with the loader about every file of the catalogue."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from runbook.engine.cli.schema import command
from runbook.engine.language import signature_files, signature_structure
from runbook.engine.language.validate import validate

FILE = Path(__file__).parents[2] / "schemas" / "signatures.schema.json"
JUDGE = jsonschema.Draft202012Validator(signature_structure.document())
ENTRY = {"id": "site.fault", "title": "x", "pattern": "x", "severity": "low", "category": "api", "role": "root"}


def test_the_file_is_fresh():
    made = CliRunner().invoke(command, ["signatures"], catch_exceptions=False).output
    assert FILE.read_text(encoding="utf-8") == made, "make schema"


def test_the_file_is_valid_and_says_what_it_is():
    schema = json.loads(FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == "file of signatures"
    assert schema["description"]


@pytest.mark.parametrize("path", signature_files.bundled(), ids=lambda path: path.stem)
def test_the_catalogue_is_valid(path):
    JUDGE.validate(yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader))


@pytest.mark.parametrize(
    "data",
    [
        {"signatures": [ENTRY]},
        {"signatures": [{**ENTRY, "match": "x", "causes": ["nccl.*"]}], "xid": {"63": {"action": "reset"}}},
        {"signatures": [{"id": "cuda.oom", "off": True}]},
        {"xid": {"63": {"action": "resett"}}},
        {"xid": {"63": {"note": "x"}}},
        {"xid": []},
        {"signatures": [{**ENTRY, "severity": "bad"}]},
        {"signatures": [{**ENTRY, "pattern": []}]},
        {"signatures": [{**ENTRY, "pattern": ["x", 3]}]},
        {"signatures": [{**ENTRY, "lines": 0}]},
        {"signatures": [{**ENTRY, "lines": 17}]},
        {"signatures": [{**ENTRY, "retryable": "yes"}]},
        {"signatures": [{**ENTRY, "id": "oom"}]},
        {"signatures": [{**ENTRY, "sevrity": "low"}]},
        {"signatures": [{"title": "x"}]},
        {"signatures": {"cuda.oom": {}}},
        {"signatures": [ENTRY], "name": "x"},
        [],
    ],
    ids=json.dumps,
)
def test_the_loader_and_jsonschema_agree(data):
    assert bool(validate(data, signature_structure.document())) == (not JUDGE.is_valid(data))

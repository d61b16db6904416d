"""Every module explains itself, and its example is one that runs through lint."""

import textwrap

import pytest
from click.testing import CliRunner

from runbook.engine.cli.doc import command as doc
from runbook.engine.language import lint, load, manual
from runbook.engine.report import manual as pages
from runbook.engine.report.paint import Paint

WRITABLE = (
    "/srv/models",
    "/srv/train",
    "/opt/serve",
    "/opt/train",
    "/opt/trainer",
    "/var/log/trainer",
    "/run/trainer",
    "/srv/cache",
    "/var/lib/evidence",
)
MODULES = [(noun, name) for name, nouns in manual.names().items() for noun in nouns]
_HEAD = f"""
name: example
writable: [{", ".join(WRITABLE)}]
limit: 3 per 1h
vars: {{root: /srv/models, model: qwen}}
secrets: {{token: {{env: TOKEN}}, hf_token: {{env: HF_TOKEN}}}}
detectors:
"""
_STEPS = """
  - name: example
    health: {path: /}
    when: disk_used_percent > 90%
    recover:
"""
everyone = pytest.mark.parametrize(("noun", "name"), MODULES, ids=lambda part: part)


@everyone
def test_it_says_what_it_does(noun, name):
    page = manual.page(noun, name)
    assert page.summary
    assert len(page.summary) < 120
    assert page.description[0].isupper()


@everyone
def test_it_describes_each_parameter_and_field(noun, name):
    page = manual.page(noun, name)
    missing = [entry.name for entry in (*page.parameters, *page.fields) if not entry.description]
    assert not missing


@everyone
def test_its_example_lints_without_an_error(noun, name, tmp_path):
    page = manual.page(noun, name)
    assert page.example
    file = tmp_path / "example.yaml"
    file.write_text(
        _HEAD + (_named(page.example) if noun == "probe" else _STEPS + textwrap.indent(page.example, "      "))
    )
    examined = load.examine(file)
    errors = [found for found in (*examined.findings, *lint.check(examined)) if found.level == "error"]
    allowed = {"RB012", "RB023"} if page.engine else set()  # a correlation names detectors of its reader's runbook
    assert [found.message for found in errors if found.code not in allowed] == []


def _named(example):
    """Make detectors of an example's items, of which some have no name."""
    lines = [f"  {line}" for line in example.splitlines()]
    for number, line in enumerate(lines):
        if line.startswith("  - ") and not line.startswith("  - name:"):
            lines[number] = f"  - name: example {number}\n    {line[4:]}"
    return "\n".join(lines) + "\n"


@everyone
def test_its_page_shows_everything(noun, name):
    page = manual.page(noun, name)
    shown = "\n".join(pages.text(page, Paint()))
    for entry in (*page.parameters, *page.fields):
        assert f"  {entry.name} " in shown
        assert entry.description.split()[0] in shown
    assert page.example.splitlines()[0] in shown
    assert noun in shown
    assert max(map(len, shown.partition("\nExample")[0].splitlines()[1:])) <= 80


def test_the_list_names_every_module_once_per_kind():
    listed = CliRunner().invoke(doc, [], catch_exceptions=False).output
    for noun, name in MODULES:
        part = listed.partition("Steps\n")[2 if noun == "step" else 0]
        assert f"\n  {name} " in f"\n{part}"


def test_markdown_has_a_heading_and_a_table_for_each():
    shown = CliRunner().invoke(doc, ["--format", "markdown"], catch_exceptions=False).output
    for noun, name in MODULES:
        assert f"## {name} ({noun})\n" in shown
    assert "| parameter | type | default | |" in shown

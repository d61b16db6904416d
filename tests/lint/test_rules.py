"""Every rule by its own documentation: the bad example has exactly its finding, the other has none."""

import re

import pytest

from runbook.engine.inventory import lint as inventories
from runbook.engine.language import load, source
from runbook.engine.language.lint import catalogue, check
from runbook.engine.language.own import enlist

RULES = catalogue.everything()
CODES = [rule.code for rule in RULES]


def findings(tmp_path, text, files=()):
    path = tmp_path / "runbook.yaml"
    path.write_text(text, encoding="utf-8")
    for name, content in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    return check(load.examine(path))


def judged(tmp_path, rule, heading):
    """Findings about an example of a rule: a runbook, or an inventory."""
    text = rule.example(heading)
    if rule.code in catalogue.INVENTORIES:
        path = tmp_path / "inventory.yaml"
        path.write_text(text, encoding="utf-8")
        return inventories.examine(path, path.name)[0]
    return findings(tmp_path, text, beside(rule, heading))


@pytest.fixture(autouse=True)
def _no_modules_of_other_tests():
    yield
    enlist.forget()


def beside(rule, heading):
    """The modules that stand beside an example."""
    return re.findall(r"```python\n# (\S+)\n(.*?)```", rule.section(heading), re.DOTALL)


@pytest.mark.parametrize("rule", RULES, ids=CODES)
def test_a_rules_bad_example_has_its_finding_and_no_other(rule, tmp_path):
    found = judged(tmp_path, rule, "Example")
    assert {finding.code for finding in found} == {rule.code}
    assert {(finding.rule, finding.level) for finding in found} == {(rule.name, rule.level)}


@pytest.mark.parametrize("rule", RULES, ids=CODES)
def test_what_a_rule_says_to_use_instead_has_no_finding(rule, tmp_path):
    assert judged(tmp_path, rule, "Use instead") == []


@pytest.mark.parametrize("rule", RULES, ids=CODES)
def test_a_rule_is_documented_under_the_fixed_headings(rule):
    headings = re.findall(r"^## (.*)$", rule.doc, re.MULTILINE)
    assert headings == list(catalogue.HEADINGS)
    assert all(rule.section(heading).strip() for heading in headings)
    assert rule.summary.endswith(".")


@pytest.mark.parametrize("rule", RULES, ids=CODES)
def test_a_rules_file_bears_its_code_and_its_name(rule):
    assert catalogue.codes()[rule.code] == f"{rule.code}_{rule.name}".lower().replace("-", "_")


def test_there_are_at_least_thirty_rules_and_no_code_is_skipped():
    assert len(CODES) >= 30
    assert [f"RB{number:03d}" for number in range(1, len(CODES) + 1)] == CODES


def test_the_loaders_codes_bear_the_names_that_the_loader_gives_them():
    assert {code: catalogue.documented(code).name for code in source.RULES} == source.RULES


def test_a_rule_says_of_itself_what_its_documentation_says():
    for rule in catalogue.rules():
        documented = catalogue.documented(rule.CODE)
        assert (documented.name, documented.level) == (rule.NAME, rule.LEVEL)


def test_a_template_in_the_paths_of_a_log_hides_no_field(tmp_path):
    text = (
        "name: x\nvars: {root: /var/log}\ndetectors:\n  - name: d\n"
        "    log: {paths: ['{{ root }}/x.log'], patterns: 'rank (?P<rank>[0-9]+)'}\n    when: rnak > 1\n"
    )
    assert "RB018" in {finding.code for finding in findings(tmp_path, text)}


def test_a_correlation_whose_member_is_not_defined_has_no_missing_condition(tmp_path):
    text = "name: x\ndetectors:\n  - {name: d, all: [nothing]}\n"
    assert "RB023" not in {finding.code for finding in findings(tmp_path, text)}


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("file: /srv/a\n    when: not valid", ["RB057"]), ("file: {path: /srv/a}\n    when: exists and reason != ''", ["RB057"]),
        ("file: /srv/a\n    when: size > 1MB", []), ("file: {path: /srv/a, format: torch}\n    when: reason != ''", []),
        ("command: /srv/check\n    when: exit_code != 0", []),
    ],
)  # fmt: skip
def test_the_content_of_a_file_is_judged_by_what_it_should_be(text, codes, tmp_path):
    found = findings(tmp_path, f"name: x\ndetectors:\n  - name: d\n    {text}\n")
    assert [finding.code for finding in found] == codes

"""Lint never fails on a file, however broken: it has findings, or it has none."""

import copy
import pathlib
from functools import cache

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import runbook
from runbook.engine.language import load
from runbook.engine.language.lint import catalogue, check, noqa
from runbook.engine.language.lint.formats import github, sarif, text

BUNDLED = [
    file.read_text(encoding="utf-8") for file in (pathlib.Path(runbook.__file__).parent / "runbooks").glob("*.yaml")
]
TEXTS = [
    *(rule.example(heading) for rule in catalogue.everything() for heading in ("Example", "Use instead")),
    *BUNDLED,
]
LINES = sorted({line for text in TEXTS for line in text.splitlines(keepends=True)})
WORDS = [
    "when: x",
    "[",
    "]",
    "{{",
    "}}",
    "# noqa",
    "# noqa: RB018",
    "\t",
    "null",
    "''",
    "- ",
    ": ",
    "30",
    "😀",
    "(a+)+$",
]


@st.composite
def mutated(draw):
    lines = draw(st.sampled_from(TEXTS)).splitlines(keepends=True)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(lines)))
        match draw(st.sampled_from(["insert", "delete", "cut", "word"])):
            case "insert":
                lines.insert(at, draw(st.sampled_from(LINES)))
            case "delete":
                del lines[at : at + 1]
            case "cut":
                lines[at : at + 1] = [line[: draw(st.integers(0, len(line)))] + "\n" for line in lines[at : at + 1]]
            case "word":
                lines[at : at + 1] = [
                    line.rstrip("\n") + draw(st.sampled_from(WORDS)) + "\n" for line in lines[at : at + 1]
                ]
    return "".join(lines)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(written=mutated())
def test_a_mutated_runbook_has_located_findings_or_none(tmp_path, written):
    path = tmp_path / "runbook.yaml"
    path.write_text(written, encoding="utf-8", newline="")
    found = check(load.examine(path))
    size = len(written.splitlines()) + 1
    for finding in found:
        assert finding.code in catalogue.codes()
        assert finding.span.file != str(path) or 1 <= finding.span.line <= size
        assert finding.message
        assert all(0 <= edit.start <= edit.end <= len(written) for edit in finding.fixes)
    text.render(found, {str(path): written})
    github.render(found)


def parts(value):
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(inner)


def loaded(written):
    if "&" in written:
        return None  # the one with the exploding aliases
    try:
        return yaml.load(written, yaml.CSafeLoader)
    except yaml.YAMLError:
        return None


@cache
def documents():
    return [data for data in map(loaded, TEXTS) if isinstance(data, dict)]


@cache
def all_parts():
    return [part for data in documents() for part in parts(data)]


@st.composite
def crossed(draw):
    """A runbook of which some values are those of others: mostly well-formed, and often valid."""
    data = copy.deepcopy(draw(st.sampled_from(documents())))
    for _ in range(draw(st.integers(0, 3))):
        inner = [part for part in parts(data) if isinstance(part, dict | list) and part]
        into = draw(st.sampled_from(inner))
        key = (
            draw(st.sampled_from(sorted(into, key=str)))
            if isinstance(into, dict)
            else draw(st.integers(0, len(into) - 1))
        )
        into[key] = copy.deepcopy(draw(st.sampled_from(all_parts())))
    other = draw(st.sampled_from(documents()))
    for key in draw(st.lists(st.sampled_from(sorted(other, key=str)), max_size=3)):
        data.setdefault(key, copy.deepcopy(other[key]))
    return yaml.safe_dump(data, allow_unicode=True, sort_keys=False)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(written=crossed())
def test_a_runbook_with_the_values_of_others_has_located_findings_or_none(tmp_path, written):
    path = tmp_path / "runbook.yaml"
    path.write_text(written, encoding="utf-8", newline="")
    assert all(finding.message and finding.code in catalogue.codes() for finding in check(load.examine(path)))


@settings(max_examples=100, deadline=None)
@given(written=st.text(alphabet="ab:#'\"|>- \n\r\t{}[]noqaRB0", max_size=80))
def test_comments_are_found_in_any_text(written):
    for start, end, covered in noqa.comments(written):
        assert written[start] == "#"
        assert start < end <= max(covered, end)
        assert "\n" not in written[start:end]


def test_sarif_of_many_findings_is_written(tmp_path):
    path = tmp_path / "runbook.yaml"
    path.write_text("name: example\n" + "cooldwon: 1m\n" * 3)
    assert sarif.render(check(load.examine(path)), {str(path): path.read_text()})

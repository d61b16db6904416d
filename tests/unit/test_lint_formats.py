"""The four formats: what they print, letter by letter, and that nothing in a file can steer a terminal."""

import json

import pytest

from runbook.engine.language import source
from runbook.engine.language.lint import catalogue
from runbook.engine.language.lint.formats import github, sarif, text
from runbook.engine.language.lint.formats import json as json_format
from runbook.engine.model import Edit, Finding, Span


def finding(line, start, end, **more):
    given = {"code": "RB018", "rule": "unknown-field", "level": "error", "message": "no such field", "hint": "mend it"}
    return Finding(**{**given, **more}, span=Span("a.yaml", line, start, line, end))


def shown(written, found, **more):
    return text.render([found], {"a.yaml": written}, **more)


def test_a_finding_shows_where_the_line_with_a_caret_and_how_to_mend_it():
    assert shown("name: x\nwhen: temprature > 85\n", finding(2, 7, 17)) == (
        "error[RB018 unknown-field]: no such field\n"
        " --> a.yaml:2:7\n"
        "2 | when: temprature > 85\n"
        "  |       ^^^^^^^^^^\n"
        "  help: mend it\n"
    )


def test_tabs_and_wide_letters_before_it_do_not_shift_the_caret():
    lines = shown("\t中é: x\n", finding(1, 6, 7)).splitlines()
    assert lines[2:4] == ["1 |     中é: x", "  |          ^"]


def test_combining_letters_take_no_column():
    lines = shown("e\u0301e\u0301 x\n", finding(1, 6, 7)).splitlines()
    assert lines[3] == "  |    ^"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_one(end):
    lines = shown(f"a: 1{end}b: 2{end}", finding(2, 4, 5)).splitlines()
    assert lines[2:4] == ["2 | b: 2", "  |    ^"]


def test_a_long_line_is_cut_around_the_caret():
    lines = shown("x" * 500 + "HERE" + "y" * 500, finding(1, 501, 505)).splitlines()
    line, caret = lines[2][4:], lines[3][4:]
    assert len(line) <= 112
    assert line[caret.index("^") : caret.rindex("^") + 1] == "HERE"
    assert line.startswith("…")
    assert line.endswith("…")


def test_a_long_stretch_is_cut_itself():
    lines = shown("x" * 5000, finding(1, 1, 5001)).splitlines()
    assert len(lines[2]) < 120
    assert len(lines[3]) < 120


def test_escapes_for_the_terminal_are_shown_and_not_sent():
    out = shown("a: \x1b[31m\x07\u202e\x9b1m\n", finding(1, 4, 5, message="bad \x1b[2J", hint="\x1b]0;t\x07"))
    assert "\x1b" not in out
    assert not any(letter in out for letter in "\x07\u202e\x9b")
    assert "\\x1b[31m\\x07\\u202e\\x9b1m" in out


def test_a_file_name_can_not_steer_the_terminal_either():
    found = Finding("RB001", "syntax", "error", "m", Span("a\x1b[2J.yaml", 1, 1, 1, 1))
    assert "\x1b" not in text.render([found], {})


def test_a_secret_is_not_spread_by_reporting_it():
    out = shown("token: hf_abcdefgh more\n", finding(1, 8, 19, code="RB031"))
    assert "abcdefgh" not in out
    assert "hf_********" in out


def test_colours_are_there_only_when_asked_for():
    assert "\x1b" not in shown("a: 1\n", finding(1, 1, 2))
    assert "\x1b[1;31merror" in shown("a: 1\n", finding(1, 1, 2), colour=True)


def test_a_finding_without_a_line_shows_none():
    assert shown("", finding(1, 1, 1)).splitlines()[2:] == ["  help: mend it"]


@pytest.mark.parametrize(
    ("levels", "files", "fixed", "line"),
    [
        ([], 1, 0, "no findings in 1 file"),
        ([], 3, 2, "2 fixed in 3 files"),
        (["error"], 1, 0, "1 error in 1 file; runbook lint --explain RB018 says more"),
        (
            ["error", "warning", "warning"],
            2,
            0,
            "1 error, 2 warnings in 2 files; runbook lint --explain RB018 says more",
        ),
    ],
)
def test_the_last_line_counts(levels, files, fixed, line):
    assert text.totals([finding(1, 1, 2, level=level) for level in levels], files, fixed) == line


def test_json_is_one_document_with_every_place():
    document = json.loads(json_format.render([finding(2, 7, 17)], ["a.yaml"], 1, 0))
    assert document == {
        "schema": 1,
        "exit_code": 1,
        "files": ["a.yaml"],
        "fixed": 0,
        "errors": 1,
        "warnings": 0,
        "findings": [
            {
                "code": "RB018", "rule": "unknown-field", "level": "error", "message": "no such field",
                "help": "mend it", "file": "a.yaml", "line": 2, "column": 7, "end_line": 2, "end_column": 17,
                "fixable": False,
            }
        ],
    }  # fmt: skip


def test_github_commands_are_escaped():
    found = finding(2, 7, 17, message="50% of\r\nit: all, ::error::x", hint="")
    assert github.render([found]) == (
        "::error file=a.yaml,line=2,endLine=2,col=7,title=RB018 unknown-field,endColumn=17"
        "::50%25 of%0D%0Ait: all, ::error::x"
    )
    odd = Finding("RB001", "syntax", "warning", "m", Span("a,b:c.yaml", 1, 1, 2, 1))
    assert github.render([odd]).startswith("::warning file=a%2Cb%3Ac.yaml,line=1,endLine=2,col=1,title=")


SARIF = {
    "type": "object",
    "required": ["version", "runs", "$schema"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool", "results", "columnKind"],
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name", "rules"],
                                "properties": {
                                    "semanticVersion": {"pattern": r"^\d+\.\d+\.\d+"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id", "shortDescription", "fullDescription", "help"],
                                            "properties": {
                                                "help": {"required": ["text"]},
                                                "shortDescription": {"required": ["text"]},
                                                "defaultConfiguration": {
                                                    "properties": {
                                                        "level": {"enum": ["none", "note", "warning", "error"]}
                                                    }
                                                },
                                            },
                                        },
                                    },
                                },
                            }
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message", "ruleId", "ruleIndex", "level", "locations"],
                            "properties": {
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "message": {"required": ["text"]},
                                "fixes": {
                                    "items": {
                                        "required": ["artifactChanges"],
                                        "properties": {
                                            "artifactChanges": {
                                                "minItems": 1,
                                                "items": {"required": ["artifactLocation", "replacements"]},
                                            }
                                        },
                                    }
                                },
                                "locations": {
                                    "minItems": 1,
                                    "items": {
                                        "properties": {
                                            "physicalLocation": {
                                                "required": ["artifactLocation", "region"],
                                                "properties": {
                                                    "artifactLocation": {
                                                        "properties": {
                                                            "uri": {"type": "string", "format": "uri-reference"}
                                                        }
                                                    },
                                                    "region": {
                                                        "properties": {
                                                            "startLine": {"minimum": 1},
                                                            "startColumn": {"minimum": 1},
                                                            "endLine": {"minimum": 1},
                                                            "endColumn": {"minimum": 1},
                                                        }
                                                    },
                                                },
                                            }
                                        }
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}  # the parts of the OASIS schema of SARIF 2.1.0 that a result of ours can break


def test_sarif_fits_its_schema_and_names_every_rule():
    import jsonschema

    fixable = finding(1, 7, 8, fixes=(Edit(6, 7, "b"),))
    document = json.loads(
        sarif.render([fixable, finding(1, 1, 1)], {"dir with space/a.yaml": "name: a\n", "a.yaml": "name: a\n"})
    )
    jsonschema.validate(document, SARIF)
    [run] = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(catalogue.codes())
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    [change] = run["results"][0]["fixes"][0]["artifactChanges"]
    region = {"startLine": 1, "startColumn": 7, "endLine": 1, "endColumn": 8}
    assert change["replacements"] == [{"deletedRegion": region, "insertedContent": {"text": "b"}}]
    assert run["artifacts"][0]["location"]["uri"] == "dir%20with%20space/a.yaml"


def test_places_of_edits_are_counted_as_the_source_counts_them():
    written = "a: 1\r\nb: '中'\r\n"
    span = source.parse(written, "a.yaml").span(("b",))
    start, end = source.parse(written, "a.yaml").offset(span)
    fixable = finding(2, 4, 7, fixes=(Edit(start, end, "x"),))
    [run] = json.loads(sarif.render([fixable], {"a.yaml": written}))["runs"]
    region = run["results"][0]["fixes"][0]["artifactChanges"][0]["replacements"][0]["deletedRegion"]
    assert (region["startLine"], region["startColumn"], region["endColumn"]) == (2, 4, 7)

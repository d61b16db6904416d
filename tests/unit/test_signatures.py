"""The catalogue as it is read: what comes with runbook, the user's files over it, and what is wrong with those."""

import re
import subprocess
import sys

import pytest

from runbook.engine.errors import RunbookInvalid, UserError
from runbook.engine.language import signature_files, signatures
from runbook.engine.model import Severity

COOLING = """
  - id: site.cooling
    title: the cooling failed
    scope: app
    pattern: 'CDU (?P<unit>[0-9]+) flow low'
    severity: high
    category: hardware
    role: root
    causes: [cuda.*]
    meaning: |
      Water is
      missing.
    match: ['CDU 3 flow low']
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write a file of the person's own signatures."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(signature_files, "SITE", tmp_path / "etc")

    def write(text, name="config/runbook/signatures/own.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def wrong(*extra):
    with pytest.raises(RunbookInvalid) as caught:
        signatures.catalogue(extra)
    return [(found.code, found.span.line, found.message) for found in caught.value.findings]


def test_a_signature_of_the_users_stands_before_those_that_come_with_runbook(own):
    path = own(f"signatures:{COOLING}")
    catalogue = signatures.catalogue()
    first = next(iter(catalogue.signatures.values()))
    assert first.id == "site.cooling"
    assert first.severity is Severity.HIGH
    assert first.meaning == "Water is missing."
    assert first.groups == ("unit",)
    assert first.files == (str(path),)
    assert len(catalogue.signatures) == len(signatures.bundled(samples=False)) + 1


def test_fields_of_a_known_signature_are_changed_and_the_others_stay(own):
    path = own("signatures:\n  - {id: cuda.oom, severity: low}\n")
    before = signatures.bundled(samples=False)["cuda.oom"]
    after = signatures.catalogue().signatures["cuda.oom"]
    assert (before.severity, after.severity) == (Severity.HIGH, Severity.LOW)
    assert (after.pattern, after.advice) == (before.pattern, before.advice)
    assert after.files == (*before.files, str(path))
    assert list(signatures.catalogue().signatures) == list(signatures.bundled(samples=False))


def test_a_new_pattern_does_not_keep_the_samples_of_the_old_one(own):
    own("signatures:\n  - {id: cuda.oom, pattern: GPU FULL, match: GPU FULL}\n")
    found = signatures.catalogue(samples=True).signatures["cuda.oom"]
    assert (found.pattern, found.match, found.near_miss) == (("GPU FULL",), ("GPU FULL",), ())


def test_a_signature_is_taken_out_by_off(own):
    own("signatures:\n  - {id: cuda.oom, off: true}\n")
    assert "cuda.oom" not in signatures.catalogue().signatures


def test_the_host_the_person_and_the_command_line_win_in_this_order(own):
    own("signatures:\n  - {id: cuda.oom, title: host's, severity: low}\n", "etc/a.yaml")
    own("signatures:\n  - {id: cuda.oom, title: person's}\n")
    third = own("signatures:\n  - {id: cuda.oom, category: unknown}\n", "named/c.yml")
    found = signatures.catalogue([str(third.parent)]).signatures["cuda.oom"]
    assert (found.title, found.severity, found.category) == ("person's", Severity.LOW, "unknown")
    assert [name.rpartition("/")[2] for name in found.files[1:]] == ["a.yaml", "own.yaml", "c.yml"]


def test_a_changed_file_is_read_again(own):
    own("signatures:\n  - {id: cuda.oom, title: one}\n")
    assert signatures.catalogue().signatures["cuda.oom"].title == "one"
    own("signatures:\n  - {id: cuda.oom, title: another}\n")
    assert signatures.catalogue().signatures["cuda.oom"].title == "another"


@pytest.mark.parametrize(
    ("text", "code", "line", "message"),
    [
        ("signatures:\n  - {id: cuda.oom, sevrity: low}\n", "RB007", 2, "`sevrity` is no key of a signature"),
        ("signatures:\n  - {id: cuda.oom, severity: bad}\n", "RB014", 2, "'bad' is none of low, medium"),
        ("signatures:\n  - {id: cuda.oom, pattern: 'a('}\n", "RB025", 2, "this is no regular expression"),
        ("signatures:\n  - {id: cuda.oom, pattern: 'a|'}\n", "RB028", 2, "found in every text"),
        ("signatures:\n  - {id: cuda.oom, pattern: '(a+)+$'}\n", "RB026", 2, "exponential time"),
        ("signatures:\n  - {id: cuda.oom, pattern: '(?P<line>a)'}\n", "RB011", 2, "would hide the field `line`"),
        ("signatures:\n  - {id: cuda.oom, pattern: a, match: b}\n", "RB055", 2, "does not match this sample"),
        ("signatures:\n  - {id: cuda.oom, pattern: a, near_miss: a}\n", "RB055", 2, "which it must not"),
        ("signatures:\n  - {id: cuda.oom, causes: [ncccl.*]}\n", "RB054", 2, "no signature matches `ncccl.*`"),
        ("signatures:\n  - {id: cuda.oom, off: true}\n  - {id: no.such, off: true}\n", "RB012", 3, "to take out"),
        ("signatures:\n  - {id: cuda.oon, severity: low}\n", "RB006", 2, "is new, and has no title, pattern"),
        ("signatures:\n  - {id: site, severity: low}\n", "RB006", 2, "id such as cuda.oom"),
        ("signatures:\n  - {id: cuda.oom}\n  - {id: cuda.oom}\n", "RB015", 3, "the first stands in line 2"),
        ("xid:\n  63: {action: rest}\n", "RB014", 2, "'rest' is none of ignore, app"),
        ("xid:\n  x63: {action: reset}\n", "RB011", 2, "`x63` is no Xid code"),
        ("xid:\n  63: {note: x}\n", "RB006", 2, "`action` is missing"),
        ("signatures: {}\n", "RB006", 1, "a list"),
        ("signatures:\n\t- x\n", "RB004", 2, "a tab"),
        ("{}\n", "RB006", 1, "no `signatures:`"),
        ("just text\n", "RB006", 1, "a mapping"),
    ],
    ids=lambda part: part if isinstance(part, str) and part.startswith("RB") else "",
)
def test_what_is_wrong_with_a_users_file_is_said_with_its_place(own, text, code, line, message):
    own(text)
    assert [found for found in wrong() if found[:2] == (code, line) and message in found[2]], wrong()


def test_every_finding_is_told_and_not_only_the_first(own):
    own("signatures:\n  - {id: cuda.oom, severity: bad}\n  - {id: cuda.ecc, role: bad}\n")
    own("xid: {1: {action: bad}}\n", "config/runbook/signatures/z.yaml")
    assert [(code, line) for code, line, _ in wrong()] == [("RB014", 2), ("RB014", 3), ("RB014", 1)]


def test_an_unreadable_file_is_told_with_its_name(own):
    path = own("")
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(RunbookInvalid) as caught:
        signatures.catalogue()
    assert "can't be read" in caught.value.findings[0].message


@pytest.mark.parametrize("name", ["no/such.yaml", "a\0b", ""])
def test_a_file_that_is_named_must_be_there(own, name):
    with pytest.raises(UserError):
        signatures.catalogue([name])


def test_a_directory_without_signatures_is_told(own, tmp_path):
    with pytest.raises(UserError, match="no signatures in this directory"):
        signatures.catalogue([str(tmp_path)])


def test_ids_and_globs_choose_in_order_of_precedence_and_once(own):
    catalogue = signatures.catalogue()
    found = [one.id for one in catalogue.chosen(["kmsg.xid", "cuda.*", "cuda.oom"])]
    order = list(catalogue.signatures)
    assert found == sorted(set(found), key=order.index)
    assert {"kmsg.xid", "cuda.oom", "cuda.ecc"} <= set(found)


@pytest.mark.parametrize(
    ("glob", "what", "mend"),
    [
        ("cuda.oon", "there is no signature `cuda.oon`", "did you mean cuda.oom?"),
        ("cda.*", "no signature matches `cda.*`", "did you mean cuda.*?"),
        (
            "zzzzzz",
            "there is no signature `zzzzzz`",
            "`runbook doc signatures` lists them; files of your own by --signatures",
        ),
    ],
)
def test_a_name_that_names_nothing_is_told_with_the_nearest(own, glob, what, mend):
    with pytest.raises(UserError) as caught:
        signatures.catalogue().chosen([glob])
    assert (caught.value.what, caught.value.mend) == (what, mend)


def test_alternatives_without_groups_become_one_expression_and_those_with_groups_come_first():
    joined = signatures.joined(["(?i)killed|dead", "oom (?P<gpu>\\d+)", "full", "gpu (?P<gpu>\\d+) full"])
    assert joined == ["oom (?P<gpu>\\d+)", "gpu (?P<gpu>\\d+) full", "(?i:killed|dead)|(?:full)"]
    assert re.search(joined[2], "DEAD")
    assert not re.search(joined[2], "FULL")
    assert signatures.joined(["(?i)oom"]) == ["(?i)oom"]


def test_patterns_carry_what_the_catalogue_says(own):
    own(
        "signatures:\n  - {id: site.oom, title: x, pattern: [a, b], severity: low, category: api, role: cascade,"
        " lines: 3, event: oom}\n"
    )
    [pattern] = signatures.catalogue().patterns(["site.oom"])
    assert (pattern.name, pattern.role, pattern.lines, pattern.event) == ("site.oom", "cascade", 3, "oom")
    assert pattern.regex == "(?:a)|(?:b)"


def test_xid_codes_are_overridden_and_added_by_the_user(own):
    path = own("xid:\n  63: {action: reset, note: as our vendor told us}\n  '900': {action: app}\n")
    table = signatures.catalogue().xid
    assert (table[63].action, table[63].note) == ("reset", "as our vendor told us")
    assert table[63].mnemonic == "INFOROM_DRAM_RETIREMENT_EVENT"
    assert table[63].files == (str(path),)
    assert table[900].action == "app"
    assert table[79].action == "reboot"
    assert table[79].files == ()


def test_every_code_of_the_table_calls_for_something_that_is_known():
    from runbook.modules import xid

    table = signatures.xids()
    assert len(table) > 100
    assert {one.action for one in table.values()} == set(xid.ORDER) == set(signatures.ACTIONS)
    for one in table.values():
        assert set(one.companions.values()) <= set(xid.ORDER)
        assert all(code == "*" or int(code) in table for code in one.companions)
        assert "workflow" not in one.action


def test_the_table_of_codes_names_its_source_and_its_edition():
    assert "docs.nvidia.com" in signatures.xid_source()
    assert "2025-10-29" in signatures.xid_source()


def test_nothing_of_it_is_read_for_a_runbook_that_names_no_signature(tmp_path):
    path = tmp_path / "plain.yaml"
    path.write_text("name: plain\ndetectors:\n  - {name: x, log: {paths: [/x], patterns: [oom]}}\n", encoding="utf-8")
    asked = (
        "import sys; from runbook.engine.language import lint, load; import pathlib\n"
        f"assert not [f for f in lint.check(load.examine(pathlib.Path({str(path)!r}))) if f.level == 'error']\n"
        "print([name for name in sys.modules if name.endswith(('language.signatures', 'language.chosen'))])"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")

"""`use`: what other runbooks bring, whose defaults hold, and what goes wrong."""

import pytest

from runbook.engine.language import load


@pytest.fixture
def books(tmp_path):
    def write(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.yaml").write_text(f"name: {name}\n{text}")
        return tmp_path / "main.yaml"

    return write


def messages(path) -> list[tuple[str, str]]:
    return [(each.code, each.message) for each in load.examine(path).findings]


def test_detectors_recoveries_pools_and_components_are_brought(books):
    book = load.load(
        books(
            main="use: [other]\ndetectors: [{name: mine, port: 1, recover: fix}]\noperations: [{command: x, pool: p}]",
            other="detectors: [{name: theirs, port: 2}]\nrecoveries: {fix: [{wait: 1s}]}\n"
            "pools: {p: {members: [{name: a}]}}\ncomponents: {hub: {window: 5}}\noperations: [{name: not me, wait: 1s}]",
        )
    )
    assert [(each.name, each.origin.rpartition("/")[2]) for each in book.detectors] == [
        ("mine", ""),
        ("theirs", "other.yaml"),
    ]
    assert book.detectors[0].recover[0].steps[0].module == "wait"
    assert (list(book.pools), book.components, len(book.operations)) == (["p"], {"hub": {"window": 5}}, 1)


def test_each_files_defaults_hold_for_its_own_detectors(books):
    book = load.load(
        books(
            main="use: [other]\nlimit: 1\ndetectors: [{name: mine, port: 1}]",
            other="limit: 9\nfor: 3s\ndetectors: [{name: theirs, port: 2}]",
        )
    )
    assert [(each.limit.count, each.hold) for each in book.detectors] == [(1, 0.0), (9, 3.0)]


def test_their_vars_are_defaults_below_ours(books):
    path = books(
        main="use: [other]\nvars: {a: 1}",
        other='vars: {a: 2, b: 3, hold: 4s}\ndetectors: [{name: d, port: 1, for: "{{ hold }}"}]',
    )
    assert load.load(path).vars == {"a": 1, "b": 3, "hold": "4s"}
    assert load.load(path, extra_vars={"hold": "9s"}).detectors[0].hold == 9.0


def test_ours_replaces_theirs_of_the_same_name(books):
    book = load.load(
        books(
            main="use: [other]\ndetectors: [{name: d, port: 1}]\nrecoveries: {fix: [{wait: 1s}]}",
            other="detectors: [{name: d, port: 2}]\nrecoveries: {fix: [{wait: 2s}]}",
        )
    )
    assert [each.params["address"] for each in book.detectors] == [1]
    assert book.recoveries["fix"][0].steps[0].params == {"duration": "1s"}


def test_a_third_that_two_of_them_use_comes_once(books):
    path = books(main="use: [a, b]", a="use: [c]", b="use: [c]", c="detectors: [{name: d, port: 1}]")
    assert [each.name for each in load.load(path).detectors] == ["d"]


def test_two_of_them_with_the_same_detector_are_an_error_unless_ours_replaces_both(books):
    both = {"a": "detectors: [{name: d, port: 1}]", "b": "detectors: [{name: d, port: 2}]"}
    [(code, message)] = messages(books(main="use: [a, b]", **both))
    assert (code, message.startswith("the detector `d` comes from ")) == ("RB015", True)
    assert messages(books(main="use: [a, b]\ndetectors: [{name: d, port: 3}]", **both)) == []


def test_a_cycle_is_told_as_it_goes(books):
    path = books(main="use: [other]", other="use: [third]", third="use: [main]")
    assert messages(path) == [("RB013", "`use` goes round: main.yaml → other.yaml → third.yaml → main.yaml")]


def test_a_runbook_of_itself_is_a_cycle(books):
    assert messages(books(main="use: [main.yaml]")) == [("RB013", "`use` goes round: main.yaml → main.yaml")]


def test_a_missing_file_gets_the_nearest(books):
    path = books(main="use: [gpu-heath]", **{"gpu-health": ""})
    [finding] = load.examine(path).findings
    assert (finding.code, str(finding.span), finding.hint) == ("RB013", f"{path}:2:7", "did you mean gpu-health?")


@pytest.mark.parametrize("name", ["../../../etc", "a\\0b", "", "x" * 3000])
def test_a_name_that_can_be_no_file_is_reported(books, name):
    assert [code for code, _ in messages(books(main=f'use: ["{name}"]'))] in (["RB013"], ["RB001", "RB013"], ["RB006"])


def test_what_is_wrong_in_a_used_file_is_located_there(books):
    path = books(main="use: [other]\nfor: x", other="detectors: [{name: d, port: 1, for: 2 minuts}]")
    found = load.examine(path)
    assert [(each.span.file.rpartition("/")[2], each.code) for each in found.findings] == [
        ("main.yaml", "RB011"),
        ("other.yaml", "RB011"),
    ]
    assert found.runbook is None
    assert [each.file.rpartition("/")[2] for each in found.used] == ["other.yaml"]


def test_an_input_of_theirs_is_one_for_our_correlation(books):
    book = load.load(
        books(
            main="use: [other]\ndetectors: [{name: both, all: [a, b]}]",
            other="detectors: [{name: a, port: 1}, {name: b, port: 2}]",
        )
    )
    assert [(each.name, each.is_input) for each in book.detectors] == [("both", False), ("a", True), ("b", True)]


def test_many_files_that_use_each_other_twice_load_quickly(books):
    texts = {f"b{number}": f"use: [b{number + 1}, b{number + 1}.yaml]" for number in range(20)}
    path = books(main="use: [b0]", **texts, b20="detectors: [{name: d, port: 1}]")
    assert [each.name for each in load.load(path).detectors] == ["d"]

"""The catalogue on lines and crash reports that its authors did not look at; `accuracy.py --misses` says which are wrong."""

from fnmatch import fnmatchcase

import pytest

from tests.catalogue import accuracy

RECALL = 0.97
PRECISION = 0.99
ROOTS = 31 / 33


def test_lines_of_failures_are_called_by_their_names():
    measured = accuracy.measure("heldout")
    lost = sorted({entry.signature for entry, _ in measured.missed})
    assert measured.recall >= RECALL, f"missed lines of {', '.join(lost)}"


def test_innocent_lines_and_other_failures_are_not_called_by_a_name():
    measured = accuracy.measure("heldout")
    assert measured.precision >= PRECISION, f"wrongly given: {dict(measured.wrong)}"


def test_the_first_incident_of_a_crash_report_is_its_root():
    told, wrong = accuracy.reports("heldout"), accuracy.unrooted("heldout")
    assert len(told) - len(wrong) >= int(len(told) * ROOTS), [
        f"{report.root}, not {found[0][0] if found else 'nothing'}" for report, found in wrong
    ]


@pytest.mark.parametrize("split", accuracy.SPLITS)
def test_every_label_is_an_id_of_the_catalogue(split):
    labels = {entry.signature for entry in accuracy.entries(split) if entry.signature}
    labels |= {report.root for report in accuracy.reports(split)}
    assert labels <= set(accuracy.bundled().signatures)


def test_no_line_is_in_both_splits():
    dev, heldout = ({entry.line for entry in accuracy.entries(split)} for split in accuracy.SPLITS)
    assert not dev & heldout


@pytest.mark.parametrize("split", accuracy.SPLITS)
def test_what_follows_from_a_root_is_not_what_may_be_called_it(split):
    for report in accuracy.reports(split):
        lines = report.log.read_text(encoding="utf-8").splitlines()
        assert 1 <= report.root_line <= len(lines)
        assert not any(fnmatchcase(report.root, glob) for glob in report.not_root), report.log.name

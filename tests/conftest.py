"""What holds for all tests: a skip says what a laptop lacks; where CI=true everything is there, so a skip is a failure."""

from __future__ import annotations

import os

import agent_code
import pytest

os.environ["RUNBOOK_CONFIG"] = os.devnull  # whatever stands in the configuration of whoever runs the tests
for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
    os.environ.pop(name, None)  # of the make that runs the tests: theirs begin anew


def pytest_unconfigure():
    agent_code.forget()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped where CI=true: {call.excinfo.value if call.excinfo else ''}"
    return report

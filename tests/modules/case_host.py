"""The host of golden cases, under the name that tests know."""

from runbook.modules.golden.host import FakeHost, make_files  # noqa: F401 -- for tests

"""Patterns name the hosts that they name for Ansible, in the same order."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runbook.engine.errors import UserError
from runbook.engine.inventory import select
from runbook.engine.inventory.inventory import load

HERE = Path(__file__).parent.parent / "inventories"
INVENTORY = str(HERE / "patterns.ini")

names = st.sampled_from([
    *("all", "*", "web", "db", "gpu", "rack1", "rack2", "maintenance", "empty", "ungrouped", "web.dot", "lone", "nowhere"),
    *("web1.lan", "web2.lan", "gpu03", "gpu08", "10.0.0.2", "::1", "fe80::12", "localhost", "127.0.0.1", "db-b"),
    *("web*", "gpu0?", "gpu0[1-3]", "*.lan", "rack*", "db-[!a]", "w*b", "*e*", "[!g]*", "ungr*", "al*", "10.*"),
    *("~gpu0[2-4]", "~web", "~.*lan$", "~(db|rack)", "~^gpu", "~web\\d", "~", "~("),
])  # fmt: skip
subscripts = st.sampled_from(
    [
        "",
        "",
        "",
        "[0]",
        "[1]",
        "[-1]",
        "[-2]",
        "[0:2]",
        "[1:]",
        "[2:2]",
        "[0:0]",
        "[3:1]",
        "[99]",
        "[5:99]",
        "[1-2]",
        "[x]",
    ]
)
signs = st.sampled_from(["", "", "", "&", "!"])
terms = st.builds("{}{}{}".format, signs, names, subscripts)
patterns = st.one_of(
    st.builds(
        lambda parts, mark: mark.join(parts), st.lists(terms, min_size=1, max_size=4), st.sampled_from([":", ",", ", "])
    ),
    st.lists(terms, min_size=1, max_size=3),
)


@pytest.fixture(scope="module")
def inventory():
    return load([INVENTORY])


@pytest.fixture(scope="module")
def ansible():
    """Ask ansible-core in a process that stays."""
    oracle = [sys.executable, str(HERE / "oracle_patterns.py"), INVENTORY]
    with subprocess.Popen(
        oracle, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:

        def ask(pattern, limit=None):
            process.stdin.write(json.dumps([pattern, limit]) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


def ours(inventory, pattern, limit=None):
    """The names, None for what is no pattern; nobody is an error of ours, where Ansible has an empty list."""
    try:
        among = select.among(inventory, () if limit is None else [limit])
        found = select.evaluated(inventory, select.split(pattern))
        return [name for name in found if limit is None or name in among]
    except UserError:
        return None


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(patterns)
@example("gpu[0:0]")
@example("gpu:&rack1:!maintenance")
@example(["gpu", "!rack1,!maintenance"])
@example("fe80::12")
@example("web[1:3]")
def test_a_pattern_names_the_hosts_that_ansible_finds(inventory, ansible, pattern):
    assert ours(inventory, pattern) == ansible(pattern)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(patterns, st.lists(terms, min_size=1, max_size=3).map(",".join))
@example("all", "localhost")
def test_a_limit_lets_through_what_it_does_for_ansible(inventory, ansible, pattern, limit):
    assert ours(inventory, pattern, limit) == ansible(pattern, limit)

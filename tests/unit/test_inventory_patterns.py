"""Host patterns: which hosts they name."""

import pytest

from runbook.engine.errors import UserError
from runbook.engine.inventory.patterns import covers


@pytest.mark.parametrize(
    "pattern",
    ["node7", "all", "*", "gpu", "node?", "gpu:&rack1", "gpu,login", "!login", "~node[0-9]+", "web:gpu:!node8", "&gpu"],
)
def test_a_pattern_that_names_the_host(pattern):
    assert covers(pattern, "node7", {"gpu", "rack1"})


@pytest.mark.parametrize(
    "pattern", ["node8", "web", "gpu:!node7", "!node7", "gpu:&rack2", "~login", "all:!gpu", "!gpu:node7", "nod"]
)
def test_a_pattern_that_does_not(pattern):
    assert not covers(pattern, "node7", {"gpu", "rack1"})


def test_a_wrong_regular_expression_is_told():
    with pytest.raises(UserError, match="is no regular expression"):
        covers("~(", "node7")

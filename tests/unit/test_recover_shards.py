"""A mapping whose copies share what neither changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runbook.engine.recover.shards import Shards

CHANGES = st.lists(st.tuples(st.integers(0, 200), st.none() | st.integers()))


def change(mapping, changes):
    for key, value in changes:
        if value is None:
            mapping.pop(key, None)
        else:
            mapping[key] = value


@given(st.dictionaries(st.integers(0, 200), st.integers()), CHANGES, CHANGES)
def test_copies_of_one_change_apart_from_each_other_as_dicts_do(first, ours, theirs):
    before = Shards(first)
    one, other = before.copy(), before.copy()
    plain, another = dict(first), dict(first)
    change(one, ours)
    change(plain, ours)
    later = one.copy()
    change(other, theirs)
    change(another, theirs)
    assert (dict(before), dict(one), dict(other), dict(later)) == (first, plain, another, plain)
    assert len(one) == len(plain)
    assert all(key in one for key in plain)

"""Paths with wildcards, as a shell has them."""

import os

import pytest

from runbook.modules import globs
from runbook.modules.declare import Unclear


@pytest.fixture
def tree(tmp_path):
    for name in ("a/x.log", "a/y.txt", "a/b/z.log", ".h/x.log", "a/.x.log", "[1].log"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "a" / "loop").symlink_to("..")
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*/x.log", ["a/x.log"]),
        (".*/x.log", [".h/x.log"]),
        ("a/*.log", ["a/x.log"]),
        ("a/.*.log", ["a/.x.log"]),
        ("**/*.log", ["[1].log", "a/b/z.log", "a/x.log"]),
        ("a/[xy].*", ["a/x.log", "a/y.txt"]),
        ("a/?.log", ["a/x.log"]),
        ("a/loop/a/x.log", ["a/x.log".replace("a/", "a/loop/a/", 1)]),
        ("none/*", []),
        ("a/x.log/*", []),
        ("a/b", ["a/b"]),
    ],
)
def test_what_a_pattern_matches(tree, pattern, found):
    assert [os.path.relpath(path, tree) for path in globs.expand(f"{tree}/{pattern}")] == found


def test_far_too_many_paths_are_unclear(tree, monkeypatch):
    monkeypatch.setattr(globs, "MOST", 1)
    with pytest.raises(Unclear, match="matches more than 1 paths"):
        globs.expand(f"{tree}/**")

"""What is remembered of kinds of lines says the same as `re` says of each line."""

import random
import re
from collections import Counter

from runbook.modules.logs.engines.plan import KEPT_FROM
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.scan import scan
from runbook.modules.logs.verdicts import NONE, Verdicts

REGEXES = {
    "killed": r"worker \d+ exited with exit ?code -9\b",
    "usual": r"worker (?P<worker>\d+) exited with exit ?code (?!0\b)",
    "seventh": r"worker 7\d* (?:exited|began)",
    "begun": r"worker \d+ began|node (?P<node>\d+) began again after \d+ s",
    "slow": r"node [1-4]\d* was slow|worker .* was slow",
}
FEW = tuple(Pattern(name, regex, role="root") for name, regex in REGEXES.items())
MANY = (*FEW, *(Pattern(f"other {number}", f"never seen failure {number}") for number in range(KEPT_FROM)))
SAID = (
    "worker {} exited with exit code -{}", "worker {} exited with exitcode {}", "worker {} began {}",
    "node {} began again after {} s", "node {} was slow: {}", 'user: "worker {} exited with exit code -{}"',
    "worker {} of node {} was slow",
)  # fmt: skip


def test_of_thousands_of_lines_of_few_kinds_each_is_named_as_re_names_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    chance = random.Random(3)
    said = [
        f"04:{chance.randrange(10, 60)} {chance.choice(SAID).format(chance.randrange(99), chance.randrange(12))}"
        for _ in range(4000)
    ]
    log = tmp_path / "log"
    log.write_text("".join(f"{line}\n" for line in said))
    expected = Counter(_name(line) for line in said)
    del expected[""]
    assert len(expected) == len(REGEXES)
    for patterns in (FEW, MANY):
        assert {name: one.count for name, one in scan(str(log), patterns).found.items()} == expected


def _name(line):
    if 'user: "' in line:
        return ""  # only spoken of
    return next((name for name, regex in REGEXES.items() if re.search(regex, line)), "")


def test_a_kind_is_remembered_only_where_all_that_was_found_is_decided():
    verdicts = Verdicts([0, 0, 1, 2])
    key = verdicts.key(b"a 17\nb 3", 0, 4, {2: 0, 3: 2})
    assert key == (b"a 00", (2, 3))
    verdicts.keep(key, {}, NONE)
    assert verdicts.of(key, {1}) is None
    verdicts.keep(key, {1: False, ~3: True}, 2)
    assert (verdicts.of(key, {2}), verdicts.of(key, {1})) == (2, None)
    verdicts.keep(key, {1: False, ~3: False}, NONE)
    assert verdicts.of(key, ()) == NONE
    assert verdicts.key(b"x" * 2000, 0, 2000, {2: 0}) is None

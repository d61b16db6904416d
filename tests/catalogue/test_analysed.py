"""What the package brings along of its own catalogue, so that the first scan need not analyse it."""

from __future__ import annotations

from runbook.engine.language.signatures import catalogue
from runbook.engine.scan import analysed, kinds
from runbook.modules.logs.engines import plan
from runbook.modules.logs.patterns import Pattern


def test_what_comes_with_the_package_is_of_the_catalogue_as_it_is():
    kept, made = analysed.path().read_bytes(), analysed.made()
    assert kept[:32] == made[:32], (
        "the catalogue was changed: `make schema` makes runbooks/signatures/analysed.bin anew"
    )
    assert kept == made, "the analysis was changed: `make schema`, and one more for CODE in engines/store.py"


def test_it_serves_the_catalogue_and_no_other_patterns(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(plan, "shipped", [])
    patterns = kinds.patterns(catalogue())
    analysed.bring()
    monkeypatch.setattr(plan, "read", _never)
    assert {patterns[one.pattern].name for one in plan.expressions(patterns)} == {one.name for one in patterns}
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    others = [Pattern(f"p{number}", f"failure number {number}") for number in range(30)]
    assert len(plan.expressions(others)) == 30


def _never(_patterns):
    raise AssertionError("the patterns were analysed")

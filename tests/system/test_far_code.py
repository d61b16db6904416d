"""The agent's own code comes to a far host in parts: the second one with the first step, the last when it is needed."""

import marshal
import subprocess
import sys
import types
import zlib

import far
import pytest

from runbook.engine.fleet import Spec, layers, pack, parts
from runbook.engine.model import NotSeen, Order, Seen
from runbook.modules.bootstrap import PARTS

LINES = "step 1 loss 0.5\n" * 5000


@pytest.fixture
def agent(tmp_path):
    with far.far(python=sys.executable, base=tmp_path / "agent") as agent:
        agent.ready()
        yield agent


def came(tmp_path):
    """Return the parts that the host has besides the first, by what stands between hash and suffix."""
    found = sorted(path.name.split(".")[1:-1] for path in (tmp_path / "agent" / "code").iterdir())
    assert found[0] == []
    return [name for [name] in found[1:]]


def log(path, **more):
    return Spec(
        "log", "log", {"paths": [str(path)], "patterns": {"oom": "CUDA out of memory"}, "from": "start", **more}
    )


def test_usual_looks_need_the_first_part_alone_and_a_command_the_second(agent, tmp_path):
    (tmp_path / "x.log").write_text(LINES)
    usual = [Spec("h", "health", {}), Spec("f", "file", {"path": [str(tmp_path)]}), log(tmp_path / "x.log")]
    usual += [Spec("c", "command", {"argv": ["true"]})]
    for number in range(2):
        assert all(isinstance(look, Seen) for look in agent.probe(usual).values())
        assert came(tmp_path) == ["acting"] * number
        assert agent.run(f"i{number}", Order("command", {"argv": ["true"]})).ok
    assert came(tmp_path) == ["acting"]
    assert sum(len(pack.part(name)) for name in PARTS[:2]) < len(pack.part("rest"))


def test_a_line_that_matches_brings_the_second_part(agent, tmp_path):
    (tmp_path / "x.log").write_text(LINES + "CUDA out of memory\n" + LINES)
    seen = agent.probe([log(tmp_path / "x.log")])["log"]
    assert isinstance(seen, Seen)
    assert [record.fields["line_no"] for record in seen.records] == [5001]
    assert came(tmp_path) == ["rest"]


def test_a_probe_of_the_second_part_waits_for_it(agent, tmp_path):
    looks = agent.probe([Spec(str(n), "process", {"match": f"no such program {n}"}) for n in range(3)])
    assert all(isinstance(look, Seen) for look in looks.values())
    assert came(tmp_path) == ["rest"]


def test_a_step_has_all_its_code_before_it_begins(agent, tmp_path):
    (tmp_path / "x").touch()
    done = agent.run("i1", Order("chown", {"path": str(tmp_path / "x"), "mode": "0600"}), writable=[str(tmp_path)])
    assert done.ok
    assert came(tmp_path) == ["acting", "rest"]
    assert agent.undo("i1", [str(tmp_path)]).ok


def test_without_the_second_part_a_look_is_unknown_and_a_step_refused(agent, tmp_path, monkeypatch):
    known = layers.message
    monkeypatch.setattr(
        layers,
        "message",
        lambda digest: {**known(digest), "body": "", "error": "it is lost"} if digest in PARTS else None,
    )
    look = agent.probe([Spec("p", "process", {"match": "x"}, deadline=1.0)])["p"]
    assert look == NotSeen("the look did not end within 1 s")
    refused = agent.run("i1", Order("chown", {"path": str(tmp_path), "mode": "0700"}), writable=[str(tmp_path)])
    assert (refused.status.value, refused.error) == ("refused", "it is lost")
    assert isinstance(agent.probe([Spec("h", "health", {})])["h"], Seen)


def test_a_second_part_that_is_there_only_in_part_is_fetched_anew(tmp_path):
    for number in range(2):
        with far.far(python=sys.executable, base=tmp_path / "agent") as agent:
            assert isinstance(agent.probe([Spec("p", "process", {"match": f"x {number}"})])["p"], Seen)
        [second] = [path for path in (tmp_path / "agent" / "code").iterdir() if ".rest." in path.name]
        if not number:
            second.write_bytes(second.read_bytes()[:-1])  # as a machine that lost its power may have it
    assert len(second.read_bytes()) > len(pack.part("rest"))


def codes(code):
    """Yield code and all that stands in it."""
    yield code
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from codes(each)


def test_code_without_columns_has_the_same_lines():
    shrunk = 0
    for name, content in pack.contents().items():
        whole = compile(content, name, "exec", dont_inherit=True)
        for before, after in zip(codes(whole), codes(parts.lean(whole)), strict=True):
            # an entry is for eight instructions at most, so that one may have become several
            lines = [line for start, end, line in before.co_lines() for _ in range(start, end, 2)]
            assert [line for start, end, line in after.co_lines() for _ in range(start, end, 2)] == lines
            assert after.co_code == before.co_code
            shrunk += len(before.co_linetable) - len(after.co_linetable)
    assert shrunk > 100_000


def test_what_was_made_is_kept_for_the_next_run_and_is_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    contents = {"runbook/modules/x.py": b"def f(a: no.such[thing]): return 1\n"}
    made = parts.made(contents, "d")
    monkeypatch.setattr(parts, "_made", None)
    assert parts.made(contents, "d") == made
    body = zlib.decompress(made[-1][32:])[12:]
    space = {}
    exec(marshal.loads(body), space)
    assert space["f"](0) == 1  # what an annotation says is not looked up


def test_what_python_itself_does_without_is_not_looked_for_among_what_is_installed():
    script = (
        "import sys; from runbook.modules.bootstrap import Installed; import copy, subprocess;"
        "[sys.modules.pop(name) for name in ('copy', 'subprocess', 'site')]; sys.meta_path.append(Installed());"
        "import copy, subprocess; assert 'site' not in sys.modules;"
        "exec('try: import no_such_module\\nexcept ImportError: pass'); assert 'site' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

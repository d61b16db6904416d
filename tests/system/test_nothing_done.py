"""A step that does nothing says why, in the report and in JSON."""

import os

import pytest

OLD = 2 * 86400.0


@pytest.fixture
def broken(cli):
    """Five checkpoints, all of them cut off, and none of them new."""
    root = cli.home.resolve() / "out"
    for number in range(1, 6):
        file = root / f"checkpoint-{number}" / "model.safetensors"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"xx")
        at = file.stat().st_mtime - OLD
        os.utime(file, (at, at))
    return root


def said(ran):
    return " ".join((ran.out + ran.err).split())


def action(ran):
    [found] = ran.host["operations"][0]["steps"][0]["actions"]
    return found["action"], found["what"]


def test_where_no_checkpoint_is_sound_all_stay_and_the_reason_is_told(cli, broken):
    words = ("run", "prune_checkpoints", f"path={broken}", "keep=2", "--writable", broken)
    ran = cli(*words)
    assert ran.exit_code == 0
    assert "nothing: 5 kept (checkpoint-1, checkpoint-2" in said(ran)
    assert "2 bytes are too few for a header" in said(ran)
    assert len(list(broken.iterdir())) == 5
    word, what = action(cli.json(*words))
    assert (word, what.startswith("5 kept (")) == ("nothing", True)


def test_a_check_tells_why_nothing_would_be_done(cli, broken):
    ran = cli("run", "prune_checkpoints", f"path={broken}", "keep=2", "--writable", broken, "--check")
    assert "nothing: 5 kept" in said(ran)
    assert "would run" not in ran.out


def test_what_goes_and_what_stays_are_both_told(cli, broken):
    os.utime(broken / "checkpoint-5/model.safetensors")
    ran = cli.json("run", "prune_checkpoints", f"path={broken}", "corrupt=true", "--writable", broken)
    *gone, kept = ran.host["operations"][0]["steps"][0]["actions"]
    assert [each["action"] for each in gone] == ["delete"] * 4
    assert (kept["action"], kept["what"]) == ("note", "1 kept (checkpoint-5: changed within 10 min)")
    assert [path.name for path in broken.iterdir()] == ["checkpoint-5"]


@pytest.mark.parametrize("module", ["prune_checkpoints", "clear_cache"])
def test_a_path_that_is_not_there_is_named(cli, module):
    ran = cli("run", module, f"path={cli.home}/nock", "--writable", cli.home)
    assert (ran.exit_code, "nock is not there" in said(ran).replace("/ ", "/")) == (0, True), said(ran)


def test_a_disk_that_cannot_be_cleared_as_far_as_asked_for_is_told(cli, broken):
    words = ("run", "clear_cache", f"path={broken}", "until_free=900TB")
    ran = cli(*words, "older_than=3d", "--writable", broken)
    assert "nothing: none of 5 files fits; " in said(ran)
    assert "free of the 900 TB asked for" in said(ran)
    ran = cli(*words, "--writable", broken, "--check")
    assert "that leaves only" in said(ran)
    assert "nothing: " in said(cli("run", "clear_cache", f"path={broken}", "until_free=1B", "--writable", broken))

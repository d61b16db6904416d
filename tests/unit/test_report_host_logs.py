"""`--log-dir`: a file for each host, for its owner alone, with everything about it and no secret."""

import io
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.engine.errors import UserError
from runbook.engine.report.host_logs import HostLogs, file_name
from runbook.engine.report.reporter import reporter
from tests.unit.many_hosts import begun, fact, opened


def logged(folder, facts, redact=str):
    logs = HostLogs(str(folder), reporter("json", io.StringIO()), redact)
    for one in facts:
        logs.fact(one)
    return logs.finish()


ABOUT = ("7f2c9e01", "server down", "vllm")
FACTS = [
    begun(["gpu01", "gpu02"], command="apply"),
    opened("gpu01", 1.0, ABOUT, when="status != 200", fields={"status": 0}),
    fact("step.ended", 2.0, "gpu01", ABOUT, module="restart_daemon", title="restart_daemon", status="failed",
         error="token hf_s3cret is wrong", output="line 1\n\x1b[2Jline 2\n", duration=1.5),
    fact("incident.ended", 3.0, "gpu01", ABOUT, to="unhealed", reason="hf_s3cret"),
    fact("run.ended", 4.0),
]  # fmt: skip


def test_each_host_has_a_file_with_everything_about_it(tmp_path):
    logged(tmp_path / "logs", FACTS, redact=lambda text: text.replace("hf_s3cret", "***"))
    assert sorted(file.name for file in (tmp_path / "logs").iterdir()) == ["gpu01.log", "gpu02.log"]
    text = (tmp_path / "logs/gpu01.log").read_text("utf-8")
    told = [line[26:] for line in text.splitlines()]
    assert told == [
        "run.begun          gpu-health apply, run 5f3a91c3",
        "incident.opened    server down · vllm · 7f2c9e01",
        "saw status 0",
        "step.ended         server down · vllm · 7f2c9e01",
        "tried restart_daemon: failed: token *** is wrong (1.5s)",
        "error:",
        "│ token *** is wrong",
        "output:",
        "│ line 1",
        r"│ \x1b[2Jline 2",
        "incident.ended     server down · vllm · 7f2c9e01",
        "to unhealed, reason ***",
        "run.ended          run 5f3a91c3",
    ]
    assert len((tmp_path / "logs/gpu02.log").read_text("utf-8").splitlines()) == 2


def test_nobody_else_may_read_them_and_a_second_run_adds_to_them(tmp_path):
    logged(tmp_path / "logs", FACTS)
    (tmp_path / "logs/gpu02.log").chmod(0o644)
    logged(tmp_path / "logs", FACTS)
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "logs").iterdir()} == {0o600}
    assert len((tmp_path / "logs/gpu02.log").read_text("utf-8").splitlines()) == 4


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path, capsys):
    (tmp_path / "logs").mkdir()
    (tmp_path / "precious").write_text("mine", "utf-8")
    (tmp_path / "logs/gpu01.log").symlink_to(tmp_path / "precious")
    report = logged(tmp_path / "logs", FACTS)
    assert (tmp_path / "precious").read_text("utf-8") == "mine"
    assert "the run goes on without these logs" in capsys.readouterr().err
    assert report.exit_code == 2  # what the run came to, not what became of its logs


def test_a_place_that_cannot_be_made_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(UserError, match="Not a directory") as raised:
        HostLogs(str(tmp_path / "file/logs"), reporter("json", io.StringIO()))
    assert raised.value.where == f"--log-dir {tmp_path}/file/logs"


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_host_has_a_file_of_its_own_within_the_directory(one, other):
    for name in (file_name(one), file_name(other)):
        assert "/" not in name
        assert name.isascii()
        assert name.isprintable()
        assert not name.startswith((".", "-"))
        assert len(name) < 255
    assert (file_name(one) == file_name(other)) == (one == other)

"""How a job was sent, taken apart from what Slurm kept of it: blanks in paths, variables that are options, GPUs."""

from __future__ import annotations

import pytest
from test_slurm_versions import sacct

from runbook.modules.host import Completed, Host
from runbook.modules.slurm import accounts, lineage, seeing, sending, submission
from runbook.modules.slurm.lineage import Mark

SCRIPT = "#!/bin/sh\nexit 1\n"


@pytest.mark.parametrize(
    ("line", "command", "name", "expected"),
    [
        (
            "--mem=20 my script.sh one two",
            "{at}/my script.sh one two",
            "my script.sh",
            ("my script.sh", ["one", "two"]),
        ),
        ("--mem=20 -J run my script.sh one", "{at}/my script.sh one", "run", ("my script.sh", ["one"])),
        ("my script.sh one", "", "my script.sh", ("my script.sh", ["one"])),  # the controller has forgotten it
        ("{at}/my script.sh one", "", "my script.sh", ("{at}/my script.sh", ["one"])),
        ("my gone script.sh one", "{at}/my gone script.sh one", "my gone script.sh", ("my gone script.sh", ["one"])),
        ("plain.sh my script.sh", "{at}/plain.sh my script.sh", "plain.sh", ("plain.sh", ["my", "script.sh"])),
        ("-n 4 plain.sh", "", "plain.sh", ("plain.sh", [])),
    ],
)
def test_a_path_with_blanks_is_one_path_and_what_follows_are_arguments(tmp_path, line, command, name, expected):
    (tmp_path / "my script.sh").write_text(SCRIPT)
    told = (f"sbatch {line}".format(at=tmp_path), SCRIPT, command.format(at=tmp_path), name, str(tmp_path))
    _, path, args = submission.split(*told)
    assert (path, args) == (expected[0].format(at=tmp_path), expected[1])


def test_options_that_were_variables_stay_and_those_that_are_written_anew_do_not():
    kept = {"PATH": "/bin", "SBATCH_CONSTRAINT": "a100", "SBATCH_QOS": "high", "SBATCH_NO_REQUEUE": "1"}
    gone = {"SBATCH_MEM_PER_NODE": "25", "SBATCH_TIMELIMIT": "7", "SBATCH_ARRAY_INX": "1-9", "SBATCH_CLUSTERS": "b"}
    printed = "Environment used for 7 (must be batch to display)\n" + "-" * 80 + "\n"
    printed += "".join(f"{name}={value}\n" for name, value in {**kept, **gone, "SLURM_JOB_ID": "7"}.items())

    class Kept(Host):
        def run(self, *_, **__):
            return Completed(0, printed)

    assert submission._environment(Kept(), accounts.parsed(sacct("7"))[0]) == kept


@pytest.mark.parametrize(
    ("gpus", "nodes", "record", "each"),
    [("2", "1", "", "30"), ("8", "2", "", "15"), ("", "1", "gres:gpu:a100:4", "15"), ("", "1", "", "60")],
)
def test_memory_that_was_asked_for_by_gpu_is_shared_by_all_of_a_node(gpus, nodes, record, each):
    (job,) = accounts.parsed(sacct("7", AllocTRES=f"cpu=1,gres/gpu={gpus}" if gpus else "cpu=1", NNodes=nodes))
    sent = submission.Submission(
        options=(), script=SCRIPT, path="", args=(), directory="", array=False, per="mem-per-gpu", exclude="",
        whole=False, qos="high", owner=None, env=None, record={"TresPerNode": record},
    )  # fmt: skip
    words = sending.words(job, sent, sending.Request(60 << 20, None, None, (), "", {}))
    assert f"--mem-per-gpu={each}M" in words
    assert "--qos=high" in words


def test_nodes_with_capitals_are_known_again_though_sacctmgr_makes_comments_small():
    mark = Mark("5", "5", 2, bad=("GPU01", "r1-N2"), held=True, why="it would need 20 GiB")
    for text in (mark.text, mark.text.lower()):
        assert lineage.read(text)[0].bad == ("GPU01", "r1-N2")


def test_a_job_whose_comment_sacctmgr_made_small_is_still_one_of_those_that_are_wanted():
    held = sacct("7", State="FAILED", Comment="exp7 [runbook first=7 after=- attempt=1 tries=0 held=1 : too large]")
    for pattern, count in (("Exp*", 1), ("exp*", 1), ("Other*", 0)):
        wanted = seeing.Wanted(comments=(pattern,))
        assert len(seeing._newest(accounts.parsed(held), wanted, {}, {})) == count
    plain = accounts.parsed(sacct("7", State="FAILED", Comment="exp7"))
    assert seeing._newest(plain, seeing.Wanted(comments=("Exp*",)), {}, {}) == []

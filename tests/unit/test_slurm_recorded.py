"""What clusters of other people and other versions printed, as they published it: read as the one that can be run here.

Names of people and hosts are changed. Which version it was is told by the text itself (`SLURM_VERSION`), by a field that
came or went with one (`Mn` for memory a node until 20.11, `Scheduler=` from 21.08, `Start` of a job that never began), or
by its date. sacct was asked for other columns then: each stands where ours has it, and the others are empty.
"""

from __future__ import annotations

from runbook.modules.golden.host import FakeHost
from runbook.modules.slurm import accounts, controller, evidence, queue, units, verdict

S = queue.SEPARATOR

# 2014: sacct -P -n --format=JobID,User,JobName,State,Partition,NNodes,NCPUS,…,ReqMem,MaxRSS,Start,End,NodeList
OF_2014 = """\
10048462|ml|bash|CANCELLED by 0|interact|1|1|2000Mn|2409232K|2014-05-01T11:43:26|2014-05-01T13:51:59|node18206
10053213|ml|bash|COMPLETED|interact|1|1|20000Mn|468500K|2014-05-01T13:52:30|2014-05-01T14:57:19|node18206
10058675|ml|bash|CANCELLED by 100278|bigmem|0|2|300000Mn||2014-05-01T17:26:17|2014-05-01T17:26:17|None assigned
10101624|ml|agal.sbatch|FAILED|bigmem|8|1|300000Mn||2014-05-04T10:34:55|2014-05-04T10:38:41|big08
10101624.batch||batch|FAILED||1|1|300000Mn|2407896K|2014-05-04T10:34:55|2014-05-04T10:38:41|big08
10102688|ml|usage.sbatch|FAILED|general|4|1|1000Mc||2014-05-02T10:53:11|2014-05-02T10:53:29|node02102
10102688.batch||batch|FAILED||1|1|1000Mc|4260K|2014-05-02T10:53:11|2014-05-02T10:53:29|node02102
"""
COLUMNS_2014 = ("JobID", "User", "JobName", "State", "Partition", "NNodes", "AllocCPUS", "ReqMem", "MaxRSS", "Start", "End", "NodeList")  # fmt: skip

# January 2023: sacct -P -n with times in seconds since the epoch
OF_2023 = """\
3|root|all|1674340908|1674340980|TIMEOUT|500M||1|72|0:0|node01|1|3
3.batch|||1674340908|1674340980|CANCELLED||4876K|1|72|0:15|node01||3.batch
"""
COLUMNS_2023 = ("JobID", "User", "Partition", "Start", "End", "State", "ReqMem", "MaxRSS", "AllocCPUS", "ElapsedRaw", "ExitCode", "NodeList", "TimelimitRaw", "JobIDRaw")  # fmt: skip
SHOWN_2023 = (  # scontrol -o show job 3
    "JobId=3 JobName=test.jcf UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=4294901757 Nice=0 Account=root QOS=normal "
    "JobState=TIMEOUT Reason=TimeLimit Dependency=(null) Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:15 "
    "RunTime=00:01:12 TimeLimit=00:01:00 TimeMin=N/A SubmitTime=2023-01-21T22:41:48 EligibleTime=2023-01-21T22:41:48 "
    "LastSchedEval=2023-01-21T22:41:48 Scheduler=Main Partition=all AllocNode:Sid=ac2c384f02af:204 ReqNodeList=(null) "
    "NodeList=node01 BatchHost=node01 NumNodes=1 NumCPUs=1 NumTasks=1 CPUs/Task=1 ReqB:S:C:T=0:0:*:* TRES=cpu=1,node=1,billing=1 "
    "Socks/Node=* NtasksPerN:B:S:C=0:0:*:* CoreSpec=* MinCPUsNode=1 MinMemoryNode=0 MinTmpDiskNode=0 Features=(null) "
    "DelayBoot=00:00:00 OverSubscribe=OK Contiguous=0 Licenses=(null) Network=(null) Command=/root/test.jcf WorkDir=/root "
    "StdErr=/root/slurm-3.out StdIn=/dev/null StdOut=/root/slurm-3.out Power= MailUser=root MailType=BEGIN,END,FAIL"
)

# July 2026: sacct -P --format=JobID,JobName,Partition,State,ExitCode,…,Start,End,NNodes,NodeList
OF_2026 = """\
4931004|e97-b4-k80-64n2h|batch|CANCELLED by 19032|0:0|None|2026-07-03T11:37:24|64|None assigned
4936017|e97-b4-k40-256n12h|batch|PENDING|0:0|Unknown|Unknown|256|None assigned
"""
COLUMNS_2026 = ("JobID", "JobName", "Partition", "State", "ExitCode", "Start", "End", "NNodes", "NodeList")

# scontrol show config of 23.02.7, August 2024
CONFIG = """\
Configuration data as of 2024-08-19T19:08:02
AccountingStorageType   = accounting_storage/slurmdbd
BOOT_TIME               = 2024-08-07T19:57:56
JobRequeue              = 1
MinJobAge               = 300 sec
NEXT_JOB_ID             = 1
SLURM_VERSION           = 23.02.7
PowerPlugin             =

Slurmctld(primary) at controller is UP
"""


def read(recorded, columns):
    """Return the jobs of what was printed under other columns."""
    lines = []
    for line in recorded.splitlines():
        told = dict(zip(columns, line.split("|"), strict=True))
        lines.append(S.join(told.get(name, "") for name in accounts.COLUMNS) + "\n")
    return {job.id: job for job in accounts.parsed("".join(lines))}


def test_of_2014_who_cancelled_what_was_asked_and_used_and_what_never_began():
    jobs = read(OF_2014, COLUMNS_2014)
    assert {name: (job.state, job.by) for name, job in jobs.items()} == {
        "10048462": ("cancelled", "0"),
        "10053213": ("completed", None),
        "10058675": ("cancelled", "100278"),
        "10101624": ("failed", None),
        "10102688": ("failed", None),
    }
    assert (jobs["10048462"].memory, jobs["10058675"].nodes) == (2000 << 20, "")
    assert (jobs["10101624"].memory, jobs["10101624"].peak) == (300000 << 20, 2407896 << 10)
    assert jobs["10053213"].started == units.moment("2014-05-01T13:52:30")
    assert jobs["10053213"].ended - jobs["10053213"].started == 3600 + 4 * 60 + 49


def test_of_2014_memory_for_each_processor_is_memory_for_the_node():
    job = read(OF_2014.replace("general|4|1|", "general|1|4|"), COLUMNS_2014)["10102688"]
    assert job.memory == 4 * (1000 << 20)


def test_of_2023_a_job_over_its_time_and_where_it_wrote():
    (job,) = read(OF_2023, COLUMNS_2023).values()
    assert (job.state, job.limit, job.elapsed, job.peak) == ("timeout", 60.0, 72.0, 4876 << 10)
    assert (job.started, job.ended) == (1674340908.0, 1674340980.0)
    assert verdict.judge(job, verdict.Clues()).name == "timeout"
    host = FakeHost(answers={"run": {"scontrol --oneliner show job 3": SHOWN_2023 + "\n"}})
    assert evidence.outputs(host, job) == ("/root/slurm-3.out", "/root/slurm-3.out")


def test_of_2026_a_job_that_was_cancelled_before_it_began_has_no_beginning():
    jobs = read(OF_2026, COLUMNS_2026)
    job = jobs["4931004"]
    assert (job.state, job.by, job.started, job.nodes, job.node_count) == ("cancelled", "19032", None, "", 64)
    assert job.ended == units.moment("2026-07-03T11:37:24")
    assert verdict.judge(job, verdict.Clues()).name == "human"


def test_of_23_02_what_the_controller_tells_of_itself():
    host = FakeHost(answers={"run": {"scontrol show config": CONFIG}})
    asked = controller.look(host)
    assert (asked.started, asked.following) == (units.moment("2024-08-07T19:57:56"), 1)
    assert asked.never_gave(7)


def test_a_row_that_was_cut_off_anywhere_is_never_another_state():
    told = dict(zip(COLUMNS_2026, OF_2026.splitlines()[0].split("|"), strict=True))
    row = S.join(told.get(name, "") for name in accounts.COLUMNS)
    states = [job.state for end in range(len(row) + 1) for job in accounts.parsed(row[:end])]
    assert set(states) <= {"cancelled", "unknown"}
    assert states[-1] == "cancelled"

"""What a line only speaks of is no failure; what a program says of itself is one, quoted or not."""

import io

import pytest

from runbook.engine.language import signatures
from runbook.modules.logs.match import matcher
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.scan import scan
from runbook.modules.logs.talk import speaks

CATALOGUE = signatures.Catalogue(signatures.bundled(samples=False))
OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB"


def named(*lines):
    found = scan(io.BytesIO("".join(f"{line}\n" for line in lines).encode()), CATALOGUE.patterns()).found
    return {name for name in found if CATALOGUE.signatures[name].role != "advice"}


@pytest.mark.parametrize(
    "line",
    [
        f'{{"ts":"2026-11-22T04:00:00Z","role":"user","message":"I get {OOM}"}}',
        f'{{"messages":[{{"role":"system","content":"help"}},{{"role":"user","content":"{OOM}"}}]}}',
        f"{{'role': 'assistant', 'content': '{OOM} means that'}}",
        f'2026-11-22 04:00:01 INFO Received request cmpl-1: prompt: "what is {OOM}", params: SamplingParams(n=1)',
        f"INFO 11-22 04:00:01 [logger.py:39] Received request chatcmpl-2: prompt: '<|im_start|>user\\nIt's {OOM}', n=1",
        f'2026-11-22 04:00:05 DEBUG prompt="why do I get {OOM}?"',
        f"user: why {OOM}",
        f"2026-11-22 04:00:01 INFO:chat: User said: {OOM}",
        f"<user> {OOM}",
        f'    """Raises {OOM} when the batch is too large."""',
        "sh -c 'dmesg | grep -i \"NVRM: Xid (PCI:0000:17:00): 79, pid=1, GPU has fallen off the bus\"'",
        'Nov 22 04:00:00 n1 CRON[12]: (root) CMD (grep -q "Out of memory: Killed process 12 (x)" /var/log/kern.log)',
        "Nov 22 04:00:00 n1 sudo[12]: u : TTY=pts/0 ; COMMAND=/bin/less Out of memory: Killed process 12 (python)",
        "root 1235 0.0 0.1 S 04:00 0:00 python watch.py --pattern 'slurmstepd: error: Detected 1 oom_kill event'",
        f"+ grep -c {OOM} train.log",
        f"* fixes {OOM} on small cards (#123)",
        f'    raise RuntimeError("{OOM}")',
        '[rank0]:     raise torch.distributed.DistBackendError("NCCL error: unhandled system error")',
        f'(EngineCore pid=7) ERROR 11-22 04:00:00 [core.py:7]     logger.error(f"{OOM}, exiting")',
        '                printk(KERN_ERR "LustreError: libcfs_debug_init: %d\\n", rc);',
        f"# {OOM}: lower the batch size",
        '    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):',
        "    signal.signal(signal.SIGSEGV, handler)  # Segmentation fault",
    ],
)
def test_what_is_only_spoken_of_is_no_failure(line):
    assert named(line) == set()


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (OOM, "cuda.oom"),
        (f"ERROR request cmpl-1 failed: {OOM}", "cuda.oom"),
        (f'Received request cmpl-1: prompt: "hello", then {OOM}', "cuda.oom"),
        (f'{{"level":"error","msg":"{OOM}"}}', "cuda.oom"),
        (f'future: <Task finished exception=RuntimeError("{OOM}")>', "cuda.oom"),
        (f'call to open("/data/x") failed: {OOM}', "cuda.oom"),
        ("client.py:282] RuntimeError('Engine process (pid 77) died.')", "vllm.dead"),
        (f'level=error msg="{OOM}" user=root', "cuda.oom"),
        (f"train.log:123:{OOM}", "cuda.oom"),
        (f'user=jane prompt="it\'s \\"quoted\\"" {OOM}', "cuda.oom"),
        ("/bin/sh: line 1: 12345 Killed                  grep -c x y", "proc.killed"),
        ("grep: data/shard-1: Stale file handle", "fs.stale"),
        (
            "Nov 22 04:00:00 n1 kernel: Out of memory: Killed process 12 (grep) total-vm:1kB, anon-rss:1kB",
            "kmsg.oom_kill",
        ),
    ],
)
def test_what_a_program_says_is_one(line, name):
    assert name in named(line)


def test_what_stands_behind_a_quotation_is_found_in_the_same_line():
    line = f'prompt: "{OOM}" failed: {OOM}'
    [hit] = matcher([Pattern("oom", r"CUDA out of memory\. (?P<rest>Tried to [\w. ]+)", "root")], 0).hits(
        f"{line}\n".encode()
    )
    assert hit.groups["rest"] == "Tried to allocate 20.00 MiB"


def test_patterns_of_a_runbook_are_found_wherever_they_stand():
    line = f'prompt: "{OOM}"\n'.encode()
    assert [hit.name for hit in matcher([Pattern("mine", "CUDA out of memory")], 0).hits(line)] == ["mine"]


def test_counting_a_thousand_prompts_counts_none_of_them():
    lines = [f'2026-11-22 04:00:01 INFO request {number}: prompt: "{OOM}"' for number in range(1000)]
    found = scan(io.BytesIO("\n".join([*lines, OOM, *[OOM] * 200, ""]).encode()), CATALOGUE.patterns()).found
    assert found["cuda.oom"].count == 201


def test_a_giant_line_is_looked_at_in_part():
    assert not speaks("user: " + "x" * 1_000_000, 1_000_000)
    assert speaks('prompt: "' + "\\" * 4000, 4009)

"""Lines that a terminal broke at its width are one again; those that only look so are left alone."""

import pytest

from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.rejoining import rejoined
from runbook.modules.logs.scan import scan

MESSAGE = (
    "[rank11]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 3 has a total capacity of "
    "79.11 GiB of which 1.20 GiB is free. Including non-PyTorch memory, this process has 77.90 GiB memory in use."
)
STEP = "2026-11-22 04:00:00 step 4001 loss 2.30"
OOM = Pattern(
    "oom", r"OutOfMemoryError: CUDA out of memory\. Tried to allocate [\d.]+ GiB\. .*77\.90 GiB memory in use"
)

SMI = """\
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 550.54.15              Driver Version: 550.54.15      CUDA Version: 12.4     |
|-----------------------------------------+------------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
|=========================================+========================+======================|
|   0  NVIDIA H100 80GB HBM3          On  |   00000000:1B:00.0 Off |                    0 |
| N/A   35C    P0              71W / 700W |       0MiB /  81559MiB |      0%      Default |
+-----------------------------------------+------------------------+----------------------+
"""


def broken(text, width, *, stripped=True):
    lines = [line[at : at + width] for line in text.split("\n") for at in range(0, max(1, len(line)), width)]
    return "\n".join(line.rstrip() if stripped else line for line in lines)


@pytest.mark.parametrize("stripped", [True, False])
@pytest.mark.parametrize("width", [80, 100, 132])
def test_messages_that_were_broken_match_at_their_first_line(tmp_path, width, stripped):
    text = f"{STEP}\n{MESSAGE}\n{STEP}\n{STEP}\n{MESSAGE}\n{MESSAGE}\n{STEP}\n"
    text += "".join(f"{'x' * number}{MESSAGE.replace('OutOf', '')}\n{STEP}\n" for number in range(6))
    log = tmp_path / "log"
    log.write_text(broken(text, width, stripped=stripped))
    found = scan(str(log), [OOM])
    each = -(-len(MESSAGE) // width)
    assert [spot.line_no for spot in found.found["oom"].spots] == [2, 4 + each, 4 + 2 * each]
    assert found.found["oom"].first.line == MESSAGE
    assert found.found["oom"].first.rank == 11


@pytest.mark.parametrize("width", [*range(72, 100), 120])
def test_wherever_a_word_was_broken_it_is_whole(width):
    lines = [line for number in range(6) for line in (f"{'x' * number}{MESSAGE}", STEP)]
    text = rejoined(broken("\n".join([*lines, ""]), width).encode())
    assert text is not None
    assert [line for line in text.data.decode().split("\n") if line] == lines


@pytest.mark.parametrize(
    "text",
    [
        SMI * 3,
        "".join(f"{n} NCCL op failed {'.' * 100}\n" for n in range(1000, 1050)),
        "".join(f"2026-11-22 04:00:{n:02d} INFO worker-{n:02d} step {n:05d} loss 2.{n:02d} throughput 41200 tokens/s\n" for n in range(50)),
        "".join(f"{STEP}\n{MESSAGE}\n" for _ in range(20)),
        "".join(f"{'#' * 80}\n# a heading\n{'#' * 80}\n" for _ in range(9)),
        "".join(f"  File \"{'/x' * 30}.py\", line 8\n    raise\n" for _ in range(9)),
        "short\n" * 99,
        f"CUDA error\n{'failed: ' * 12}error.\n" * 99,
        "",
        "\n",
    ],
    ids=["nvidia-smi", "a number first", "one format", "long lines", "headings", "frames", "short", "one again and again", "empty", "blank"],
)  # fmt: skip
def test_what_was_not_broken_stays_as_it_is(text):
    assert rejoined(text.encode()) is None


@pytest.mark.parametrize("width", [80, 110, 132])
def test_lines_that_were_cut_at_a_width_are_not_one_message(tmp_path, width):
    who = ["worker", "scheduler", "api", "db"]
    said = [
        f"{who[n % 4]} | request {n} was answered with {n * 7919 % 1000} tokens {'of text ' * (n % 13)}"
        for n in range(200)
    ]
    said[100:100] = ["x" * width, "Segmentation fault (core dumped)"]
    log = tmp_path / "log"
    log.write_text("".join(f"{line[:width]}\n" for line in said))
    assert rejoined(log.read_bytes()) is None
    found = scan(str(log), [Pattern("segv", r"^Segmentation fault \(core dumped\)$")]).found
    assert found["segv"].spots[0].line_no == 102


def test_no_line_grows_without_end():
    full, short = (b"a" * 80 + b"\n" + b"0" * 80 + b"\n" + b"a0" * 40 + b"\n") * 100, b"end\n" * 30
    text = rejoined((full + short) * 10)
    assert text is not None
    assert max(map(len, text.data.split(b"\n"))) <= 65 * 80
    assert text.data.count(b"\n") == 10 * 330
    assert rejoined(full * 10) is None

"""A download whose process is killed again and again, from a hub that fails in every way on the way."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faulty_hub import Fault, Hub, date_in, weights

pytest.importorskip("huggingface_hub")

KILLS = 30
COMMAND = Path(__file__).with_name("hub_downloader.py")


class Downloader:
    """Children that download, one after the other."""

    def __init__(self, hub, writable, **given):
        env = {**os.environ, "HF_HUB_DOWNLOAD_TIMEOUT": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        argv = [
            sys.executable,
            str(COMMAND),
            str(writable),
            json.dumps({"repo": hub.repo, "endpoint": hub.url, **given}),
        ]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def begin(self):
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        word, pid = self._process.stdout.readline().split()
        assert word == "pid"
        return int(pid)

    def end(self):
        """What the child said, if it came to say it."""
        said = [line.strip() for line in iter(self._process.stdout.readline, "ended\n")]
        return said[0] if said else ""


def faults(seed, files):
    """Of every kind, in random order, at random bytes; two of the small files are sent with a bit flipped."""
    chance = random.Random(seed)
    made = [Fault(kind, chance.randrange(2 << 20)) for kind in ["cut"] * 8 + ["reset"] * 8 + ["stall"] * 3]
    made += [Fault("503"), Fault("500"), Fault("429", headers={"Retry-After": "1"}), Fault("429", headers=date_in(1))]
    chance.shuffle(made)
    corrupt = dict.fromkeys(sorted(files, key=lambda name: len(files[name]))[-24::12])

    def next_one(name, begin, end):
        if name in corrupt and begin == 0 and corrupt[name] is None:
            corrupt[name] = Fault("corrupt", chance.randrange(end // 2))
            return corrupt[name]
        return made.pop() if made and chance.random() < 0.4 else None

    return next_one


@pytest.mark.slow
@pytest.mark.timeout(400)  # a machine with a lot else to do takes its time over 31 processes
def test_thirty_kills_and_every_fault_on_the_way_cost_less_than_a_seventh(tmp_path):
    files = {f"model-{n:02}.safetensors": weights((1 << 20) + n * 200_000, n) for n in range(24)}
    files |= {"config.json": b"{}", "deep/er/tokenizer.json": weights(70_000, 99)}
    size = sum(map(len, files.values()))
    cache = tmp_path / "cache"
    with Hub(files, buffer=16 << 10) as hub, Downloader(hub, tmp_path, cache=str(cache), workers=2) as downloader:
        hub.rate = 12e6
        hub.faulty = faults(7, files)
        killed, said = 0, ""
        while not said.startswith("done"):
            pid = downloader.begin()
            enough = size * (killed + 1) / (KILLS + 2)
            while killed < KILLS and alive(pid) and hub.sent < enough:
                time.sleep(0.002)
            if killed < KILLS and alive(pid):
                os.kill(pid, signal.SIGKILL)
                killed += 1
            said = downloader.end()
            assert said == "" or said.startswith("done"), said
        assert killed == KILLS
        assert hub.sent < 1.15 * size
        from huggingface_hub import snapshot_download

        snapshot = Path(snapshot_download(hub.repo, cache_dir=cache, local_files_only=True))
        assert {name: (snapshot / name).read_bytes() for name in files} == files
        assert not list(cache.rglob("*.incomplete"))


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

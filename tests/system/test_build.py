# ruff: noqa: PTH115, PTH202, PTH208 -- names are compared as the kernel tells them
"""`build` with real CMake, ninja, make, git and pip: what is built again, what goes first, and what is left after a kill."""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runbook.engine.fleet import local
from runbook.engine.language import chosen, params
from runbook.engine.model import Order, StepStatus
from runbook.modules import catalogue

NEEDED = ("cmake", "ninja", "make", "gcc", "git")
CMAKE = """\
cmake_minimum_required(VERSION 3.16)
project(toy C)
add_library(words SHARED words.c)
add_executable(toy main.c other.c)
target_link_libraries(toy words)
"""
MAIN = "int words(void); int other(void); int main(void) { return words() + other(); }\n"


@pytest.fixture(autouse=True)
def _tools():
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    if lacking and os.environ.get("CI") == "true":
        pytest.fail(f"install {', '.join(lacking)}: tests/debian.sh")
    if lacking:
        pytest.skip(f"{', '.join(lacking)} is not here")


class Place:
    """A source tree, and an agent that builds it."""

    def __init__(self, tmp_path, agent):
        self.root = tmp_path / "src"
        self.root.mkdir()
        self.agent = agent
        self.base = tmp_path / "journal"
        self.numbers = itertools.count()

    def write(self, **files):
        for name, text in files.items():
            path = self.root / name.replace("__", ".")
            path.write_text(text)

    def cmake(self):
        (self.root / "CMakeLists.txt").write_text(CMAKE)
        self.write(main__c=MAIN, words__c="int words(void) { return 3; }\n", other__c="int other(void) { return 1; }\n")

    def order(self, timeout=120.0, **given):
        cls = catalogue.step("build")
        typed = params.coerce(cls, {"path": str(self.root), **given})
        return Order("build", chosen.resolved(cls, typed), timeout=timeout)

    def build(self, *, check=False, timeout=120.0, **given):
        intent = f"i{next(self.numbers)}"
        order = self.order(timeout, **given)
        return self.agent.run(intent, order, writable=[str(self.root)], check=check)

    def log(self, number=0):
        at = next(self.root.glob("**/.runbook/build.log" + (f".{number}" if number else "")))
        return at.read_text()

    def compiled(self):
        """The sources that the last run compiled."""
        lines = self.log().splitlines()
        return {line.rpartition("/")[2].removesuffix(".o") for line in lines if "Building C object" in line}

    def runs(self, program="build/toy"):
        return subprocess.run([str(self.root / program)], check=False, timeout=10).returncode


@pytest.fixture
def place(tmp_path):
    with local.connect(tmp_path) as agent:
        yield Place(tmp_path, agent)


def well(outcome):
    assert outcome.status is StepStatus.DONE, (outcome.error, outcome.output)
    return outcome.data.get("rebuild")


def test_what_is_built_is_not_built_again(place):
    place.cmake()
    first = place.build(produces=["build/toy"])
    assert (well(first), first.data["why"]) == ("full", "nothing is built yet")
    assert place.compiled() == {"main.c", "words.c", "other.c"}
    assert place.runs() == 4
    again = place.build(produces=["build/toy"])
    assert (well(again), again.changed, again.actions) == ("none", False, ())
    assert "as they were" in again.data["why"]


def test_only_what_hangs_on_a_changed_file_is_built_again(place):
    place.cmake()
    well(place.build())
    place.write(other__c="int other(void) { return 2; }\n")
    outcome = place.build()
    assert (well(outcome), outcome.data["why"]) == ("partial", "other.c of the source changed")
    assert place.compiled() == {"other.c"}
    assert place.runs() == 5


def test_a_file_that_was_only_touched_is_no_change(place):
    place.cmake()
    well(place.build())
    (place.root / "other.c").touch()
    assert well(place.build()) == "none"


def test_a_change_that_bears_an_older_time_is_not_overlooked(place):
    place.cmake()
    well(place.build())
    place.write(other__c="int other(void) { return 9; }\n")
    os.utime(place.root / "other.c", (1e9, 1e9))  # as tar, rsync -t and git worktrees leave it
    outcome = place.build()
    assert well(outcome) == "full"
    assert "other.c bears an older time than what was built of it" in outcome.data["why"]
    assert place.runs() == 12


def cut(path):
    os.truncate(path, os.path.getsize(path) // 2)


def emptied(path):
    os.truncate(path, 0)


def zeroed(path):
    Path(path).write_bytes(bytes(os.path.getsize(path)))


def damaged(path):
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 2] + b"\xff" * (len(content) - len(content) // 2))


@pytest.mark.parametrize(
    ("name", "harm", "said"),
    [
        ("CMakeFiles/toy.dir/main.c.o", cut, "cut off"),
        ("CMakeFiles/toy.dir/main.c.o", emptied, "empty"),
        ("CMakeFiles/words.dir/words.c.o", zeroed, "full of NULs"),
        ("libwords.so", cut, "cut off"),
        ("libwords.so", emptied, "empty"),
        ("toy", cut, "cut off"),
        (".ninja_deps", zeroed, "damaged"),
        (".ninja_deps", damaged, "damaged"),
        (".ninja_log", zeroed, "damaged"),
        ("build.ninja", emptied, "empty"),
        ("build.ninja", zeroed, "full of NULs"),
        ("CMakeCache.txt", zeroed, "damaged"),
    ],
)
def test_what_a_power_cut_left_goes_and_is_made_again(name, harm, said, place):
    place.cmake()
    well(place.build(produces=["build/toy"]))
    harm(place.root / "build" / name)
    outcome = place.build(produces=["build/toy"])
    assert well(outcome) == "partial"
    assert said in outcome.data["why"]
    assert place.runs() == 4
    assert well(place.build(produces=["build/toy"])) == "none"


def test_what_it_should_produce_and_is_not_there_is_built(place):
    place.cmake()
    well(place.build(produces=["build/toy"]))
    (place.root / "build/toy").unlink()
    outcome = place.build(produces=["build/toy"])
    assert (well(outcome), outcome.data["why"]) == ("partial", "build/toy is missing")
    assert place.compiled() == set()


def test_a_product_with_another_content_is_made_again(place):
    place.cmake()
    well(place.build(produces=["build/toy"]))
    content = bytearray((place.root / "build/toy").read_bytes())
    content[len(content) // 3] ^= 0xFF
    (place.root / "build/toy").write_bytes(content)
    outcome = place.build(produces=["build/toy"])
    assert (well(outcome), outcome.data["why"]) == ("partial", "toy is not as it was built")
    assert place.runs() == 4


def compiler(tmp_path, more=""):
    """A compiler whose version the test can change."""
    (tmp_path / "version").write_text("12.2.0")
    made = tmp_path / "cc-of-test"
    made.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && {{ echo "cc (test) $(cat {tmp_path}/version)"; exit 0; }}\n'
        f'{more}\nexec gcc "$@"\n'
    )
    made.chmod(0o755)
    return str(made)


def test_another_compiler_begins_anew(place, tmp_path):
    place.cmake()
    env = {"CC": compiler(tmp_path)}
    well(place.build(env=env))
    (tmp_path / "version").write_text("13.1.0")
    outcome = place.build(env=env)
    assert well(outcome) == "full"
    assert "12.2.0 → 13.1.0" in outcome.data["why"]
    assert place.compiled() == {"main.c", "words.c", "other.c"}


def test_logs_deep_in_what_is_cleaned_stay(place, tmp_path):
    place.cmake()
    given = {"env": {"CC": compiler(tmp_path)}, "logs": str(place.root / "build/var/log/build")}
    well(place.build(**given))
    (place.root / "build/var/other").write_text("x")
    (tmp_path / "version").write_text("14.0.0")
    assert well(place.build(**given)) == "full"
    assert sorted(path.name for path in (place.root / "build/var/log/build").iterdir()) == [
        "build.json", "build.log", "build.log.1", "lock",
    ]  # fmt: skip
    assert not (place.root / "build/var/other").exists()


def test_other_options_build_what_they_change_and_no_more(place):
    place.cmake()
    well(place.build(options=["-DCMAKE_BUILD_TYPE=Debug"]))
    outcome = place.build(options=["-DCMAKE_BUILD_TYPE=Release"])
    assert (well(outcome), outcome.data["why"]) == ("partial", "the options changed")
    assert well(place.build(options=["-DCMAKE_BUILD_TYPE=Release"])) == "none"


def test_the_first_real_error_is_told_with_its_signature(place):
    place.cmake()
    place.write(other__c='#include "nowhere.h"\nint other(void) { return 1; }\n')
    outcome = place.build()
    assert outcome.status is StepStatus.FAILED
    assert "fatal error: nowhere.h: No such file or directory (build.header, line " in outcome.error
    assert outcome.data["signature"] == "build.header"
    assert outcome.data["log"] == str(place.root / "build/.runbook/build.log")
    place.write(nowhere__h="\n")
    mended = place.build()
    assert well(mended) == "partial"
    assert "the last build failed" in mended.data["why"]
    assert place.compiled() <= {"other.c", "main.c", "words.c"}


def test_a_check_changes_nothing(place):
    place.cmake()
    well(place.build())
    os.truncate(place.root / "build/libwords.so", 100)
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in place.root.rglob("*"))
    outcome = place.build(check=True)
    assert outcome.status is StepStatus.PLANNED
    assert "libwords.so is cut off" in " ".join(action["what"] for action in outcome.actions)
    assert sorted((str(path), path.lstat().st_mtime_ns) for path in place.root.rglob("*")) == before


def test_a_build_outside_of_what_is_writable_is_refused(place, tmp_path):
    place.cmake()
    outcome = place.build(build_dir=str(tmp_path / "elsewhere"))
    assert outcome.status is StepStatus.REFUSED
    assert "outside of what is writable" in outcome.error
    assert not (tmp_path / "elsewhere").exists()


def living(mark):
    """Processes whose command line or directory bears a mark."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and mark in line and int(pid) != os.getpid():
                found.append(int(pid))
    return found


def gone(mark, within=15.0):
    until = time.monotonic() + within
    while living(mark) and time.monotonic() < until:
        time.sleep(0.05)
    return not living(mark)


def many(place, count=12):
    lines = ["cmake_minimum_required(VERSION 3.16)", "project(many C)"]
    names = [f"part{number}.c" for number in range(count)]
    for name in names:
        (place.root / name).write_text(f"int {name[:-2]}(void) {{ return 1; }}\n")
    (place.root / "CMakeLists.txt").write_text("\n".join([*lines, f"add_library(many SHARED {' '.join(names)})", ""]))


def objects(place):
    """How many there are; CMake makes and deletes directories meanwhile."""
    return sum(name.startswith("part") and name.endswith(".o") for _, _, names in os.walk(place.root) for name in names)


def slow(seconds):
    return f'case "$*" in *part*) sleep {seconds};; esac'


def test_a_build_that_was_killed_in_the_middle_is_continued(place, tmp_path):
    many(place)
    env = {"CC": compiler(tmp_path, slow(0.15))}
    agent = local.connect(tmp_path / "killed")
    try:
        agent.ready()
        agent.submit("k1", place.order(env=env, jobs=2), writable=[str(place.root)])
        until = time.monotonic() + 30
        while objects(place) < 4 and time.monotonic() < until:
            time.sleep(0.02)
        for pid in living("runbook agent"):
            if str(tmp_path / "killed") in "".join(os.readlink(f"/proc/{pid}/fd/{fd}") for fd in files_of(pid)):
                os.kill(pid, signal.SIGKILL)
    finally:
        agent.close()
    assert gone(str(place.root)), "what the build had started lives on"
    kept = objects(place)
    assert 4 <= kept < 12
    outcome = place.build(env=env, jobs=2)
    assert well(outcome) == "partial"
    assert "the last build was cut off" in outcome.data["why"]
    assert len(place.compiled()) <= 12 - kept + 2  # those in hand when it was killed
    assert well(place.build(env=env, jobs=2)) == "none"


def files_of(pid):
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                os.readlink(f"/proc/{pid}/fd/{name}")
                yield name


def test_a_timeout_ends_everything_that_was_started(place, tmp_path):
    many(place)
    mark = f"{place.root}/never"
    env = {"CC": compiler(tmp_path, f'case "$*" in *part*) setsid sh -c "sleep 1000; : {mark}" & sleep 1000;; esac')}
    outcome = place.build(env=env, timeout=3.0)
    assert outcome.status is StepStatus.TIMEOUT
    assert gone(mark), "a process that went into a session of its own lives on"
    assert gone(str(place.root))
    assert "the last build was cut off" in place.build(env={"CC": compiler(tmp_path)}, check=True).actions[-1]["what"]


def test_make_builds_in_place_and_leaves_the_source_alone(place):
    place.write(
        Makefile="prog: main.o other.o\n\tgcc -o $@ $^\n%.o: %.c\n\tgcc -c -o $@ $<\n",
        main__c="int other(void); int main(void) { return other(); }\n",
        other__c="int other(void) { return 7; }\n",
    )
    assert well(place.build(produces=["prog"])) == "full"
    assert place.runs("prog") == 7
    assert well(place.build(produces=["prog"])) == "none"
    place.write(other__c="int other(void) { return 8; }\n")
    os.utime(place.root / "other.c", (1e9, 1e9))
    outcome = place.build(produces=["prog"])
    assert well(outcome) == "full"
    assert place.runs("prog") == 8
    assert {"Makefile", "main.c", "other.c"} <= {path.name for path in place.root.iterdir()}


def test_make_that_fails_tells_the_compilers_words_and_not_its_own(place):
    place.write(Makefile="all:\n\tgcc -c wrong.c\n", wrong__c="int f(void) { return undeclared_thing; }\n")
    outcome = place.build()
    assert outcome.status is StepStatus.FAILED
    assert "undeclared_thing" in outcome.error
    assert "build.compiler" in outcome.error


def test_an_error_that_no_signature_knows_is_told_by_its_looks(place):
    script = "echo working; echo 'frobnicator: error: flux is inverted'; echo more; exit 4"
    place.write(readme="x")
    outcome = place.build(command=["sh", "-c", script])
    assert outcome.status is StepStatus.FAILED
    assert outcome.exit_code == 4
    assert "frobnicator: error: flux is inverted (line 3 of the log)" in outcome.error


def test_logs_are_kept_and_the_oldest_go(place):
    place.write(readme="x")
    for number in range(5):
        place.build(command=["sh", "-c", f"echo run {number}; exit 1"], keep_logs=3)
    names = sorted(path.name for path in (place.root / ".runbook").glob("build.log*"))
    assert names == ["build.log", "build.log.1", "build.log.2"]
    assert "run 4" in place.log()
    assert "run 2" in place.log(2)


def test_any_command_is_run_again_when_its_source_changed(place):
    place.write(data__txt="one\n")
    given = {
        "command": ["sh", "-c", "mkdir -p out && tr a-z A-Z < data.txt > out/data.txt"],
        "produces": ["out/data.txt"],
    }
    assert well(place.build(**given)) == "full"
    assert well(place.build(**given)) == "none"
    place.write(data__txt="two\n")
    assert well(place.build(**given)) == "full"
    assert (place.root / "out/data.txt").read_text() == "TWO\n"


def test_a_command_that_makes_nothing_of_what_it_should_fails(place):
    place.write(readme="x")
    outcome = place.build(command=["true"], produces=["out/app"])
    assert outcome.status is StepStatus.FAILED
    assert "it was built, and out/app is not there" in outcome.error


def wheel(place):
    pytest.importorskip("hatchling")
    place.write(
        pyproject__toml='[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "toy"\nversion = "1.0"\n[tool.hatch.build.targets.wheel]\nonly-include = ["toy.py"]\n',
        toy__py="ANSWER = 42\n",
    )
    return {"options": ["--no-build-isolation"], "produces": ["dist/*.whl"]}


def test_a_wheel_is_built_by_pip_and_again_when_it_is_cut_off(place):
    given = wheel(place)
    assert well(place.build(**given)) == "full"
    [made] = (place.root / "dist").glob("*.whl")
    assert well(place.build(**given)) == "none"
    cut(made)
    outcome = place.build(**given)
    assert well(outcome) == "partial"
    assert "is cut off" in outcome.data["why"]
    place.write(toy__py="ANSWER = 43\n")
    assert well(place.build(**given)) == "full"
    shown = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(made)!r}); import toy; print(toy.ANSWER)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout == "43\n"


def test_git_says_what_is_source(place):
    def git(*words):
        subprocess.run(["git", "-C", place.root, *words], check=True, capture_output=True, env={
            **os.environ, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": "/dev/null",
        })  # fmt: skip

    place.cmake()
    place.write(__gitignore="notes\nbuild/\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    well(place.build())
    place.write(notes="nothing to do with it\n")
    assert well(place.build()) == "none"
    place.write(other__c="int other(void) { return 6; }\n")
    git("commit", "-q", "-am", "two")
    outcome = place.build()
    assert well(outcome) == "partial"
    assert "other.c of the source changed (commit " in outcome.data["why"]
    third = place.root / "third"
    third.mkdir()
    (third / "part.h").write_text("1\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "part"]):
        git("-C", "third", *words)
    git("add", "third")
    well(place.build())
    (third / "part.h").write_text("2\n")
    assert place.build().data["why"] == "third/part.h of the source changed"


def test_a_source_that_is_missing_is_a_failure_that_says_so(place):
    outcome = place.build(path=str(place.root / "vllm"))
    assert outcome.status is StepStatus.FAILED
    assert "is not there yet; fetch it first" in outcome.error

"""Inventory programs that hang, fail, or print what is no inventory: one message, and nothing is left running."""

import os
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from runbook.engine.cli._commands import runbook
from runbook.engine.errors import UserError
from runbook.engine.inventory import shown
from runbook.engine.inventory.inventory import load

PYTHON = f"#!{sys.executable}\n"


def program(tmp_path, text):
    path = tmp_path / "hosts.sh"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def running(word):
    """The processes whose command line has a word."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [line] if word.encode() in line.read_bytes() else []
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("#!/bin/sh\necho hello\n", "is no JSON: Expecting value"),
        ("#!/bin/sh\necho '[1]'\n", "is no JSON object"),
        ("#!/bin/sh\necho '{\"g\": 1'\n", "is no JSON"),
        ("#!/bin/sh\necho boom >&2; exit 3\n", "exited 3: boom"),
        ("#!/bin/sh\nkill -9 $$\n", "was ended by signal 9"),
        ("#!/no/such/interpreter\n", "can't be run: no such file"),
        ("#!/bin/sh\nexec cat /dev/zero\n", "wrote more than 64 MiB"),
        ("#!/bin/sh\nexec cat /dev/zero >&2\n", "wrote more than 64 MiB"),
        (f"{PYTHON}print('[' * 1000000)\n", "nested too deeply"),
        (f"{PYTHON}print('{{\"a\":' * 100000 + '1' + '}}' * 100000)\n", "nested too deeply"),
        ("#!/bin/sh\necho '{\"_meta\": 1}'\n", "`_meta` holds `hostvars`"),
        ("#!/bin/sh\necho '{\"g\": {\"hosts\": 5}}'\n", "`hosts` of the group `g` is a list of names"),
        ("#!/bin/sh\necho '{\"g\": {\"hosts\": [5]}}'\n", "`hosts` of the group `g` is a list of names"),
        ("#!/bin/sh\necho '{\"g\": {\"vars\": [5]}}'\n", "`vars` of the group `g` is an object"),
        ("#!/bin/sh\necho '{\"g\": {\"children\": \"h\"}}'\n", "`children` of the group `g` is a list of names"),
        ("#!/bin/sh\necho '{\"g\": {\"children\": [\"g\"]}}'\n", "the group `g` is its own child"),
        ("#!/bin/sh\n[ $1 = --list ] && echo '{\"g\": [\"a\"]}' || echo '[]'\n", "--host a: what this program printed is no JSON"),
    ],
)  # fmt: skip
def test_a_program_that_prints_no_inventory_is_told(text, told, tmp_path):
    path = program(tmp_path, text)
    with pytest.raises(UserError) as error:
        load([path])
    assert told in str(error.value)
    assert str(error.value).startswith(path)


@pytest.mark.parametrize("tail", ["sleep 4711.5", "sleep 4711.5 & exit 0", "trap '' TERM HUP; sleep 4711.5"])
def test_a_program_that_hangs_is_ended_with_all_that_it_started(tail, tmp_path):
    mark = f"{time.monotonic_ns()}"
    path = program(tmp_path, f"#!/bin/sh\n: {mark}\n{tail.replace('4711.5', f'4711.{mark}')}\n")
    with pytest.raises(UserError, match=r"did not end within its time of 0\.3 s"):
        load([path], patience=0.3)
    patience = time.monotonic() + 10
    while running(f"4711.{mark}") and time.monotonic() < patience:
        time.sleep(0.01)  # what was killed is buried by init
    assert running(f"4711.{mark}") == []


def test_what_a_program_complains_of_is_a_warning_in_printable_words(tmp_path):
    path = program(tmp_path, "#!/bin/sh\nprintf 'old \\033[31mred\\n' >&2\necho '{\"g\": [\"a\"]}'\n")
    done = CliRunner().invoke(runbook, ["inventory", "-i", path, "--graph"])
    assert done.stdout == "@all:\n  |--@ungrouped:\n  |--@g:\n  |  |--a\n"
    assert "old \\x1b[31mred" in done.stderr


def test_names_with_control_characters_are_spelled_out(tmp_path):
    path = program(tmp_path, '#!/bin/sh\necho \'{"g": ["a\\u001b[31m\\nb"], "_meta": {"hostvars": {}}}\'\n')
    done = CliRunner().invoke(runbook, ["inventory", "-i", path, "--graph"])
    assert "\x1b" not in done.stdout


def test_the_programs_of_a_directory_get_the_directory_they_are_started_in(tmp_path):
    path = program(tmp_path, '#!/bin/sh\necho "{\\"g\\": [\\"$(basename $PWD)\\"]}"\n')
    assert list(load([path]).hosts) == [Path.cwd().name]


@pytest.mark.parametrize("kind", ["fifo", "loop", "absent", "device"])
def test_what_is_no_file_is_told_and_not_waited_for(kind, tmp_path):
    path = tmp_path / "hosts"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "device":
        path = Path("/dev/zero")
    with pytest.raises(UserError, match=r"this is no file|can.t be read"):
        load([str(path)])


def test_a_directory_that_contains_itself_is_told(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "up").symlink_to(tmp_path)
    with pytest.raises(UserError, match="contains itself"):
        load([str(tmp_path)])


def test_ten_thousand_hosts_are_read_in_a_moment(tmp_path):
    hosts = "".join(
        f"    gpu{n:05}.example.org: {{ansible_host: 10.0.{n // 250}.{n % 250}, rack: {n % 40}}}\n"
        for n in range(10_000)
    )
    (tmp_path / "inventory.yaml").write_text(f"all:\n  hosts:\n{hosts}", encoding="utf-8")
    begun = time.process_time()
    inventory = load([str(tmp_path / "inventory.yaml")])
    assert len([host.vars for host in inventory.matching("all:!gpu0000*")]) == 9_990
    assert time.process_time() - begun < 3  # 0.6 s on an idle machine


def test_the_configuration_may_name_one_inventory_or_several(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.ini").write_text("[g]\na\n")
    for given, hosts in (('"a.ini"', ["a"]), ('["a.ini", "b,"]', ["b", "a"])):
        (tmp_path / "runbook.toml").write_text(f"[defaults]\ninventory = {given}\n")
        monkeypatch.setenv("RUNBOOK_CONFIG", "runbook.toml")
        done = CliRunner().invoke(runbook, ["inventory", "--graph"])
        assert [line.split("--")[1] for line in done.stdout.splitlines() if "@" not in line] == hosts


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "it is not clear what to show"),
        (["--list", "--graph"], "it is not clear what to show"),
        (["--graph", "nowhere"], "there is no group `nowhere`"),
        (["--host", "nobody"], "no host matches `nobody`"),
        (["--host", "a,b"], "`a,b` names 2 hosts, not one"),
        (["--list", "-l", "@/no/such"], "it is not there"),
        (["--list", "--output", "/no/such/file"], "this can't be written"),
    ],
)
def test_wrong_words_are_told(words, told):
    done = CliRunner().invoke(runbook, ["inventory", "-i", "a,b,c", *words])
    assert isinstance(done.exception, UserError)
    assert told in str(done.exception)


def test_a_list_is_written_to_a_file(tmp_path):
    CliRunner().invoke(runbook, ["inventory", "-i", "a,", "--list", "--output", str(tmp_path / "out")])
    assert '"a"' in (tmp_path / "out").read_text()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "chain.ini",
            "".join(f"[g{n}:children]\ng{n + 1}\n" for n in range(1000)) + "[g1000]\n",
            "nested deeper than 100",
        ),
        ("line.ini", f"a {'x' * 1_000_000}\n", "has more than 262144 characters"),
        ("blank.yaml", "\n" * 900_000 + "a\n", "this is no inventory"),
        ("label.ini", f"{'a' * 200_000}:\n", "ends in a colon"),
        ("ranges.ini", f"h{'[1:2]' * 30}\n", "stands for more than 1000000 hosts"),
    ],
)
def test_a_file_that_is_too_much_is_told_soon_and_shortly(name, text, told, tmp_path):
    (tmp_path / name).write_text(text)
    begun = time.process_time()
    with pytest.raises(UserError, match=told) as error:
        load([str(tmp_path / name)])
    assert len(str(error.value)) < 500
    assert time.process_time() - begun < 5


def test_a_tree_without_end_is_not_printed(tmp_path, monkeypatch):
    monkeypatch.setattr(shown, "MAX_LINES", 10_000)
    floors = "".join(f"[{one}{n}:children]\na{n + 1}\nb{n + 1}\n" for n in range(30) for one in "ab")
    (tmp_path / "hosts").write_text(f"{floors}[a30]\n[b30]\n")
    done = CliRunner().invoke(runbook, ["inventory", "-i", str(tmp_path / "hosts"), "--graph"])
    assert isinstance(done.exception, UserError)
    assert "the tree has more than 10000 lines" in str(done.exception)


def test_a_directory_of_vars_that_contains_itself_is_told(tmp_path):
    (tmp_path / "hosts").write_text("[g]\nh\n")
    (tmp_path / "group_vars" / "g").mkdir(parents=True)
    (tmp_path / "group_vars" / "g" / "up").symlink_to(tmp_path / "group_vars" / "g")
    with pytest.raises(UserError, match="contains itself"):
        load([str(tmp_path / "hosts")])


def test_the_configuration_of_a_plugin_says_how_ansible_runs_it_for_us_and_that_works(tmp_path, monkeypatch):
    config = tmp_path / "cloud hosts.yaml"
    config.write_text("plugin: generator\nhosts: {name: 'web{{ n }}'}\nlayers: {n: [1, 2]}\n")
    with pytest.raises(
        UserError, match="configures Ansible's inventory plugin `generator`: runbook runs none"
    ) as raised:
        load([str(config)])
    first, second = raised.value.mend.split("`")[1::2]
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert list(load([program(tmp_path, f"{first}\n{second}\n")]).hosts) == ["web1", "web2"]

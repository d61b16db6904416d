"""Inventories made at random, with their vars files, are read as ansible-core reads them."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from runbook.engine.cli._commands import runbook

ORACLE = Path(__file__).parent.parent / "inventories" / "oracle.py"
GROUPS = ["g1", "g2", "g3", "g4", "web", "db-x", "a.b", "Z"]  # children come later in this list: no circles
ALL = [*GROUPS, "ungrouped", "all"]
HOSTS = ["h1", "h2", "h3", "h[1:3]", "x[a:c]y", "n[01:03]", "10.0.0.1", "h1:22", "[::1]:5", "fe80::1", "localhost", "g1",
         "a.b.c", "w[1:2][a:b]", "h[3:1]", "q[0:4:2]"]  # fmt: skip
WORDS = ["1", "yes", "no", "'a b'", '"x"', "[1,2]", "'{a: 1}'", "0777", "1.5", "None", "true", "True", '"{{ x }}"', "a#b", "''",
         "1:30", "a=b", "~", "0x1f", "1e3", "-7", "2024-01-02", "null", "ü", "1_000", ".5", "+1", "0b11"]  # fmt: skip
NAMES = ["v", "w", "x1", "ansible_port", "ansible_host", "ansible_group_priority", "y"]
MODES = (["--list"], ["--list", "--export"], ["--graph", "--vars"], ["--list", "--yaml"])


class Maker:
    """Writes inventories from the numbers of a seed."""

    def __init__(self, seed):
        self.dice = random.Random(seed)

    def value(self, name):
        return (
            str(self.dice.randint(0, 5))
            if name in {"ansible_group_priority", "ansible_port"}
            else self.dice.choice(WORDS)
        )

    def below(self, group):
        """The groups that may stand below one."""
        first = 0 if group == "all" else GROUPS.index(group) + 1 if group in GROUPS else len(GROUPS)
        return GROUPS[first:]

    def ini(self):
        lines = []
        for _ in range(self.dice.randint(1, 7)):
            group, kind = self.dice.choice(ALL), self.dice.choice(["", "", ":vars", ":children"])
            lines.append(f"[{group}{kind}]{self.dice.choice(['', '', ' # c'])}")
            for _ in range(self.dice.randint(0, 4)):
                name = self.dice.choice(NAMES)
                if kind == ":vars":
                    lines.append(f"{name}{self.dice.choice(['=', ' = '])}{self.value(name)}")
                elif kind == ":children":
                    lines += self.dice.sample(self.below(group), min(1, len(self.below(group))))
                else:
                    given = "".join(
                        f" {name}={self.value(name)}" for name in self.dice.sample(NAMES, self.dice.randint(0, 3))
                    )
                    lines.append(f"{self.dice.choice(HOSTS)}{given}{self.dice.choice(['', '', ' # c'])}")
        return "\n".join([*lines, *(f"[{group}]" for group in ALL)]) + "\n"

    def vars(self, indent):
        names = sorted(self.dice.sample(NAMES, self.dice.randint(1, 4)))
        return "".join(f"{' ' * indent}{name}: {self.value(name)}\n" for name in names)

    def group(self, name, indent, depth):
        text = f"{' ' * indent}{name}:\n"
        for part in self.dice.sample(["hosts", "vars", "children"], self.dice.randint(0, 3)):
            children = self.dice.sample(self.below(name), min(len(self.below(name)), self.dice.randint(1, 3)))
            if part == "children" and (depth > 2 or not children):
                continue
            text += f"{' ' * (indent + 2)}{part}:\n"
            if part == "vars":
                text += self.vars(indent + 4)
            elif part == "children":
                text += "".join(self.group(child, indent + 4, depth + 1) for child in children)
            for host in self.dice.sample(HOSTS, self.dice.randint(1, 4)) if part == "hosts" else ():
                text += f'{" " * (indent + 4)}"{host}":\n' + (self.vars(indent + 6) if self.dice.random() < 0.5 else "")
        return text

    def source(self, folder, number):
        """Write an inventory with what stands beside it; return what `-i` names."""
        folder = folder / f"s{number}" if self.dice.random() < 0.5 else folder
        folder.mkdir(parents=True, exist_ok=True)
        is_ini = self.dice.random() < 0.5
        path = (
            folder / f"inv{number}{self.dice.choice(['.ini', '']) if is_ini else self.dice.choice(['.yml', '.yaml'])}"
        )
        yaml = "".join(self.group(group, 0, 0) for group in self.dice.sample(ALL, self.dice.randint(1, 4)))
        path.write_text(self.ini() if is_ini else yaml, encoding="utf-8")
        for kind, names in (("group_vars", ALL), ("host_vars", ["h1", "h2", "x[a:c]y", "n01", "localhost", "nobody"])):
            for name in self.dice.sample(names, self.dice.randint(0, 2)):
                file = self.dice.choice(
                    [f"{name}.yml", f"{name}.yaml", f"{name}.json", name, f"{name}/m.yml", f"{name}/d/x"]
                )
                if not (folder / kind / name).exists():
                    (folder / kind / file).parent.mkdir(parents=True, exist_ok=True)
                    (folder / kind / file).write_text(self.vars(0), encoding="utf-8")
        return str(path if self.dice.random() < 0.8 else folder)


@pytest.mark.parametrize("seed", [1])
def test_inventories_made_at_random_are_read_as_ansible_reads_them(seed, tmp_path, monkeypatch):
    maker = Maker(seed)
    given = {}
    for number in range(16):
        paths = [maker.source(tmp_path / str(number), part) for part in range(maker.dice.randint(1, 2))]
        given[str(number)] = [word for path in paths for word in ("-i", path)]
    calls = {name: [[*words, *mode] for mode in MODES] for name, words in given.items()}
    asked = json.dumps(list(calls.items()))
    monkeypatch.chdir(ORACLE.parent)
    oracle = [sys.executable, str(ORACLE)]
    done = subprocess.run(oracle, input=asked, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    for name, answers in json.loads(done.stdout).items():
        for words, (code, wanted) in zip(calls[name], answers, strict=True):
            assert code == 0, f"{words}: {wanted}"
            assert CliRunner().invoke(runbook, ["inventory", *words], catch_exceptions=False).stdout == wanted, words

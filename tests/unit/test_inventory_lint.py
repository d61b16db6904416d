"""`runbook lint` of an inventory: what is found, and on which place."""

import pytest
from click.testing import CliRunner

from runbook.engine.cli.lint import command
from runbook.engine.inventory import lint
from runbook.engine.language.lint import files


def found(tmp_path, text, name="inventory.yaml"):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return [f"{each.code}:{each.span.line}:{each.span.column}" for each in lint.examine(path, name)[0]]


HOST = "all:\n  hosts:\n    h:\n      "


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("ansible_usr: ops", ["RB066:4:7"]),
        ("ansible_uptime: 5", []),
        ("ansible_port: 0", ["RB067:4:7"]),
        ("ansible_port: 65536", ["RB067:4:7"]),
        ("ansible_port: '22'", []),
        ("ansible_port: '{{ p }}'", []),
        ("ansible_port: yes", ["RB067:4:7", "RB003:4:21"]),
        ("ansible_become: ops", ["RB067:4:7"]),
        ("ansible_become: true", []),
        ("ansible_connection: docker", ["RB067:4:7"]),
        ("ansible_become_method: su", ["RB067:4:7"]),
        ("ansible_user: -oProxyCommand=x", ["RB067:4:7"]),
        ("ansible_host: two words", ["RB067:4:7"]),
        ("ansible_password: hunter22", ["RB031:4:7"]),
        ("ansible_password: '{{ vaulted }}'", []),
        ("ansible_become_pass: !vault |\n        $ANSIBLE_VAULT;1.1;AES256\n        00", []),
        ("db_password: hunter22", ["RB031:4:7"]),
        ("db_password: /run/secrets/db", []),
        ("mode: 0755", ["RB003:4:13"]),
        ("day: 2024-01-02", ["RB003:4:12"]),
        ("time: 1:30", ["RB003:4:13"]),
        ("flag: true", []),
        ("flag: yes  # noqa: RB003", []),
        ("a: 1\n      a: 2", ["RB002:5:7"]),
    ],
)
def test_a_var_is_judged_where_it_stands(line, codes, tmp_path):
    assert found(tmp_path, f"{HOST}{line}\n") == codes


@pytest.mark.parametrize(
    ("name", "text", "codes"),
    [
        ("inventory.yaml", "a:\n  children:\n    a:\n", ["RB068:3:5"]),
        ("inventory.yaml", "a:\n  hosts: {b: 1, ]\n", ["RB001:2:17"]),
        ("inventory.yaml", "a:\n  hosts:\n    h[1:\n", ["RB068:3:5"]),
        ("inventory.yaml", "a:\n  hosts:\n    h[x:]:\n", ["RB068:3:5"]),
        ("inventory.yaml", "a:\n  hots:\n    h:\n", ["RB007:2:3"]),
        ("hosts.ini", "[a]\nh ansible_port=x\n[a:children]\na\n", ["RB067:2:3", "RB068:4:1"]),
        ("hosts.ini", "[a:vars]\nansible_usr=ops\n[a]\nh\n", ["RB066:2:1"]),
        ("group_vars/a.yml", "ansible_prt: 22\nx: off\n", ["RB066:1:1", "RB003:2:4"]),
        ("host_vars/h/main.yml", "- x\n", ["RB068:1:1"]),
        ("group_vars/all/vault.yml", "$ANSIBLE_VAULT;1.1;AES256\n00\n", []),
    ],
)
def test_a_file_is_judged_as_it_is_read(name, text, codes, tmp_path):
    assert found(tmp_path, text, name) == codes


@pytest.mark.parametrize(
    ("name", "text", "is_one"),
    [
        ("x.yaml", "all:\n  hosts:\n", True),
        ("x.yaml", "# c\n---\nweb:\n  # c\n\n  children:\n", True),
        ("x.yaml", "web: {hosts: {a: }}\n", True),
        ("x.json", '{"all": {"hosts": {}}}', True),
        ("hosts", "[web]\na\n", True),
        ("x.ini", "", True),
        ("group_vars/all.yml", "x: 1\n", True),
        ("x.yaml", "name: x\nhosts: all\ndetectors: []\n", False),
        ("x.yaml", "name: x\nvars:\n  hosts: 5\noperations: []\n", False),
        ("x.test.yaml", "cases:\n  hosts:\n", False),
        ("x.yaml", "services:\n  web:\n    image: x\n", False),
    ],
)
def test_an_inventory_is_told_from_a_runbook(name, text, is_one, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    assert files.is_inventory(path) is is_one


def test_the_command_checks_an_inventory_and_does_not_print_a_password(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inventory.yaml").write_text(f"{HOST}ansible_password: hunter22\n", encoding="utf-8")
    done = CliRunner().invoke(command, ["inventory.yaml"], standalone_mode=False)
    assert "error[RB031 secret-in-clear]: `ansible_password` stands here in clear" in done.stdout
    assert "hunter22" not in done.stdout
    assert done.return_value == 1


def test_a_directory_of_inventories_is_checked_with_its_vars_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in (
        ("inv/hosts", "[g]\nh\n"),
        ("inv/group_vars/g.yml", "a: 1\na: 2\n"),
        ("inv/notes.md", "a: 0777\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    done = CliRunner().invoke(command, ["inv"], standalone_mode=False)
    assert "--> inv/group_vars/g.yml:2:1" in done.stdout
    assert "1 warning in 2 files" in done.stdout

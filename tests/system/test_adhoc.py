"""`runbook run` and `probe` over hosts: `{{ … }}` on the command line is each host's own, as with `ansible -m`."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def inventory(cli):
    """Two hosts, which are this machine, with a directory and an agent each."""
    hosts = {}
    for name in ("one", "two"):
        root = cli.home / name
        root.mkdir()
        (root / "data").write_text(name * 3)
        hosts[name] = {"ansible_connection": "local", "agent_dir": str(root / "agent"), "root": str(root)}
    hosts["two"]["only_two"] = "yes"
    return cli.write("inventory.json", json.dumps({"all": {"hosts": hosts}}))


def test_a_step_is_filled_in_with_each_hosts_variables(cli, inventory):
    done = cli("run", "command", "-i", inventory, "-l", "all", "--", "cat", "{{ root }}/data", "/dev/null")
    assert done.exit_code == 0, done.out + done.err
    one, two = done.out.split("✔ command on two")
    assert "│ oneoneone\n" in one
    assert "│ twotwotwo\n" in two


@pytest.mark.parametrize("words", [("{{ root }}/data",), ("path={{ root }}/data",)])
def test_a_probe_is_filled_in_with_each_hosts_variables(cli, inventory, words):
    done = cli("probe", "file", "-i", inventory, "--format", "json", *words)
    seen = json.loads(done.out)["hosts"]
    assert [seen[name]["records"][0]["fields"]["path"] for name in ("one", "two")] == [
        f"{cli.home}/one/data",
        f"{cli.home}/two/data",
    ]


def test_a_name_that_one_host_lacks_leaves_that_host_unknown_and_the_others_looked_at(cli, inventory):
    done = cli("probe", "command", "-i", inventory, "--", "echo", "{{ only_two }}")
    assert done.exit_code == 4
    assert "'only_two' is undefined" in done.out
    assert "1 seen, 1 unknown" in done.out


def test_what_is_no_template_says_how_braces_are_written_and_that_works(cli, inventory):
    done = cli("run", "command", "-i", inventory, "-l", "one", "--", "echo", "{{.Names}}")
    assert done.exit_code == 1
    assert "`{{.Names}}` is no template" in done.err
    assert "write {{ '{{' }} for them" in done.err
    done = cli("run", "command", "-i", inventory, "-l", "one", "--", "echo", "{{ '{{' }}.Names}}")
    assert "│ {{.Names}}\n" in done.out, done.out + done.err
    looked = cli("probe", "command", "-i", inventory, "-l", "one", "--", "echo", "{{ '{{' }}.Names}}")
    assert "{{.Names}}" in looked.out, looked.out + looked.err


def test_without_an_inventory_braces_are_as_they_are(cli):
    assert "│ {{.Names}}\n" in cli("run", "command", "--", "echo", "{{.Names}}").out

"""`runbook lint -i INVENTORY`: the hosts, groups and vars that a runbook names are held against the inventory's."""

from __future__ import annotations

import json

import pytest

INVENTORY = """
all:
  children:
    gpu:
      hosts:
        gpu[01:04]:
      vars: {data: /data}
    login:
      hosts: {login01: }
"""
BOOK = """
name: example
hosts: {hosts}
detectors:
  - name: disk full
    hosts: "{detector}"
    health: "{{{{ {var} }}}}"
    when: disk_free < 1GB
    limit: 1 per 1h
    recover:
      - command: [sync]
        delegate_to: {delegate}
      - failover: {{pool: servers}}
pools:
  servers:
    members: [{{name: a, host: gpu01}}, {{name: b, host: {member}}}]
    switch: [{{notify: switched}}]
"""
RIGHT = {"hosts": "gpu[0]", "detector": "gpu:&all", "var": "data", "delegate": "login01", "member": "gpu02"}


@pytest.fixture
def lint(cli, tmp_path):
    """Return a function that lints the runbook, with or without the inventory, and returns its errors."""
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(INVENTORY)

    def linted(*words, **changes):
        (tmp_path / "books").mkdir(exist_ok=True)
        book = tmp_path / "books/book.yaml"
        book.write_text(BOOK.format(**{**RIGHT, **changes}))
        found = json.loads(cli("lint", book, "--format", "json", *words).out)["findings"]
        return [each for each in found if each["level"] == "error"]

    linted.inventory = ("-i", str(inventory))
    return linted


def test_a_runbook_whose_hosts_groups_and_vars_are_all_there_has_no_error(lint):
    assert lint(*lint.inventory) == []


@pytest.mark.parametrize(
    ("changes", "word", "message", "hint"),
    [
        ({"hosts": "gpuu"}, "gpuu", "no host and no group `gpuu`", "did you mean gpu?"),
        ({"hosts": "gpux[0]"}, "gpux", "no host and no group `gpux`", "did you mean gpu?"),
        ({"hosts": "'gpu:!maintenance'"}, "maintenance", "`maintenance`", "a group without hosts is enough"),
        ({"detector": "logins"}, "logins", "no host and no group `logins`", "did you mean login?"),
        ({"delegate": "logn01"}, "logn01", "no host `logn01`", "did you mean login01?"),
        ({"delegate": "login"}, "login", "`login` is a group of the inventory", "name one of its hosts"),
        ({"member": "gpu09"}, "gpu09", "no host `gpu09`", "did you mean gpu0"),
    ],
)
def test_a_name_that_the_inventory_lacks_is_told_where_it_stands_with_the_nearest(lint, changes, word, message, hint):
    (found,) = lint(*lint.inventory, **changes)
    assert found["code"] == "RB069"
    assert message in found["message"]
    assert hint in found["help"]
    line = BOOK.format(**{**RIGHT, **changes}).splitlines()[found["line"] - 1]
    assert line[found["column"] - 1 :].startswith(word)
    assert "RB069" not in [each["code"] for each in lint(**changes)]  # without an inventory nobody can tell


@pytest.mark.parametrize("name", ["controller", "localhost", "127.0.0.1"])
def test_a_step_may_be_delegated_to_the_controller_by_each_of_its_names(lint, name):
    assert lint(*lint.inventory, delegate=name) == []


def test_a_detectors_subscript_is_refused_since_its_hosts_are_asked_one_by_one(lint):
    (found,) = [each for each in lint(var="runbook.dir", detector="gpu[0]") if each["code"] == "RB069"]
    assert found["message"] == "`gpu[0]`: a detector's `hosts` has no subscripts"


def test_a_regular_expression_that_is_none_is_told_without_an_inventory(lint):
    (found,) = [each for each in lint(var="runbook.dir", detector="~gpu(") if each["code"] == "RB069"]
    assert "`~gpu(` is no regular expression" in found["message"]


def test_a_var_that_only_the_inventory_may_define_names_what_is_needed_to_know(lint):
    (found,) = lint()
    assert (found["code"], found["message"]) == ("RB017", "`data` is not defined here")
    assert found["help"].endswith("if it is the inventory's, that is needed: -i INVENTORY")


def test_a_var_that_the_inventory_does_not_define_either_is_told_so(lint):
    (found,) = lint(*lint.inventory, var="quota")
    assert found["help"].endswith("the inventory does not define it either")


def test_a_runbook_about_this_machine_needs_no_inventory_for_its_names(lint):
    found = lint(hosts="localhost", var="quota")
    assert "inventory" not in str([each["help"] for each in found if each["code"] == "RB017"])


@pytest.mark.parametrize("folder", [".", "books"])
def test_the_group_vars_beside_the_inventory_and_beside_the_runbook_are_known(lint, tmp_path, folder):
    (tmp_path / folder / "group_vars").mkdir(parents=True)
    (tmp_path / folder / "group_vars/gpu.yaml").write_text("quota: /quota\n")
    assert lint(*lint.inventory, var="quota") == []


def test_a_run_warns_of_a_detector_whose_group_is_not_there(cli, lint, tmp_path):
    lint()
    words = ("apply", tmp_path / "books/book.yaml", *lint.inventory, "--list-hosts")
    (tmp_path / "books/book.yaml").write_text(BOOK.format(**{**RIGHT, "detector": "logins"}))
    assert "the inventory has no host and no group `logins`; did you mean login?" in cli(*words).err

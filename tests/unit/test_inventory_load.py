"""Hosts with their vars: merged as Ansible documents it, of the kind that a runbook's vars are."""

import sys
from pathlib import Path

import pytest

from runbook.engine.errors import RenderError, UserError
from runbook.engine.inventory.inventory import load
from runbook.engine.inventory.vault import Locked, Vault, vault
from runbook.engine.language.kinds import is_template
from runbook.engine.language.scope import Scope
from runbook.engine.language.taint import secret
from runbook.engine.model import Runbook

VAULTS = Path(__file__).parent.parent / "inventories" / "vaults"
PASSWORD = str(VAULTS / "password")
PROD = f"prod@{VAULTS / 'password-prod.sh'}"


def made(tmp_path, text, name="inventory.yaml", **files):
    for file, content in {name: text, **files}.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return load([str(tmp_path / name)])


def scope(host):
    """What a runbook's templates see of a host."""
    return Scope(Runbook(name="x", file="x.yaml", vars=host.vars), host=host.name)


def test_hosts_stand_in_the_order_of_the_file_and_know_their_groups(tmp_path):
    inventory = made(tmp_path, "b:\n  hosts: {z: , y: }\na:\n  children: {b: }\n  hosts: {x: }\n")
    assert list(inventory.hosts) == ["z", "y", "x"]
    assert inventory.hosts["z"].groups == {"all", "a", "b"}
    assert inventory.members["a"] == ["x", "z", "y"]


def test_vars_beside_the_inventory_go_before_those_in_it_and_beside_the_runbook_before_both(tmp_path):
    made(tmp_path, "g:\n  hosts: {h: }\n  vars: {v: file, w: file, u: file}\n", **{
        "group_vars/g.yml": "v: group_vars\nw: group_vars\n", "book/group_vars/g.yml": "v: book\n",
    })  # fmt: skip
    inventory = load([str(tmp_path / "inventory.yaml")], beside=str(tmp_path / "book"))
    assert {name: inventory.hosts["h"].written[name] for name in "uvw"} == {"u": "file", "v": "book", "w": "group_vars"}


def test_a_template_is_evaluated_with_the_vars_of_its_host(tmp_path):
    host = made(
        tmp_path,
        'all:\n  hosts: {gpu01.lan: {port: 80}}\n  vars: {url: "http://{{ inventory_hostname_short }}:{{ port }}"}\n',
    )
    assert scope(host.hosts["gpu01.lan"])["url"] == "http://gpu01:80"


def test_a_template_that_a_runbook_can_not_say_fails_where_it_is_used_and_not_before(tmp_path):
    host = made(
        tmp_path, 'all:\n  hosts: {h: }\n  vars:\n    odd: "{% for x in y %}{% endfor %}"\n    fine: 1\n'
    ).hosts["h"]
    assert scope(host)["fine"] == 1
    with pytest.raises(RenderError, match="this template of the inventory can't be read"):
        scope(host)["odd"]


def test_what_is_marked_unsafe_is_no_template(tmp_path):
    host = made(tmp_path, 'all:\n  hosts: {h: {a: !unsafe "{{ b }}"}}\n').hosts["h"]
    assert host.vars["a"] == "{{ b }}"
    assert not is_template(host.vars["a"])


def test_the_magic_vars_can_not_be_overwritten(tmp_path):
    host = made(tmp_path, "g:\n  hosts: {h.lan: {inventory_hostname: other, groups: none}}\n").hosts["h.lan"]
    assert host.vars["inventory_hostname"] == "h.lan"
    assert host.vars["inventory_hostname_short"] == "h"
    assert host.vars["group_names"] == ["g"]
    assert host.vars["groups"] == {"all": ["h.lan"], "ungrouped": [], "g": ["h.lan"]}


def test_an_address_has_no_short_name():
    hosts = load(["10.0.0.1,fe80::1,a.b"]).hosts
    assert [host.vars["inventory_hostname_short"] for host in hosts.values()] == ["10.0.0.1", "fe80::1", "a"]


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ("{ansible_host: 10.0.0.1, ansible_port: 2222, ansible_user: ops}", {"host": "10.0.0.1", "port": 2222, "user": "ops"}),
        ("{host: 10.0.0.1, port: 2222, user: ops}", {"host": "10.0.0.1", "port": 2222, "user": "ops"}),
        ("{ansible_user: ops, port: 8080, host: app}", {"user": "ops"}),
        ("{ansible_ssh_host: b, ansible_host: a}", {"host": "b"}),
        ("{ansible_host: '{{ net }}.1', net: 10.0.0}", {"host": "10.0.0.1"}),
        ("{ansible_become: yes, ansible_become_user: svc}", {"become": True, "become_user": "svc"}),
        ("{ansible_ssh_common_args: -o ProxyJump=b, ansible_python_interpreter: /opt/py}",
         {"ssh_common_args": "-o ProxyJump=b", "python_interpreter": "/opt/py"}),
        ("{ansible_port: null, ansible_user: ops}", {"user": "ops"}),
    ],
)  # fmt: skip
def test_how_a_host_is_reached_stands_under_ansibles_names_or_ours(given, settings, tmp_path):
    assert made(tmp_path, f"all:\n  hosts:\n    h: {given}\n").hosts["h"].settings == settings


def test_a_setting_that_names_what_is_not_there_says_the_file_and_line(tmp_path):
    host = made(tmp_path, "all:\n  hosts:\n    h:\n      ansible_host: '{{ nowhere }}'\n").hosts["h"]
    with pytest.raises(UserError, match="ansible_host of h: ") as error:
        _ = host.settings
    assert error.value.where == f"{tmp_path / 'inventory.yaml'}:4"


def test_settings_that_name_each_other_in_a_circle_are_told(tmp_path):
    host = made(tmp_path, "all:\n  hosts:\n    h: {ansible_host: '{{ a }}', a: '{{ ansible_host }}'}\n").hosts["h"]
    with pytest.raises(UserError, match="in a circle"):
        _ = host.settings


def test_localhost_is_there_without_an_inventory_and_is_reached_locally():
    (host,) = load([]).matching("localhost")
    assert host.implicit
    assert host.settings == {"connection": "local", "python_interpreter": sys.executable}
    assert load([]).hosts == {}


def test_a_localhost_that_is_named_is_no_other():
    (host,) = load(["127.0.0.1,"]).matching("localhost")
    assert (host.name, host.implicit) == ("127.0.0.1", False)


def test_vaulted_values_are_secrets_that_are_opened_when_they_are_used():
    inventory = load([str(VAULTS / "inv.yml")], vault=vault([PASSWORD], [PROD], {}))
    host = inventory.hosts["v1"]
    runbook = Runbook(name="x", file="x.yaml", vars=host.vars)
    assert scope(host)["db_password"] == "hunter2 secret"
    assert secret({"db_password"}, runbook)
    assert not secret({"inventory_hostname"}, runbook)
    assert set(inventory.secrets([host]).values()) == {
        "hunter2 secret",
        "{{ tmpl }} x",
        "top secret",
        "{{ file_secret }}",
    }


def test_a_template_in_a_vault_is_filled_in_and_stays_a_secret():
    host = load([str(VAULTS / "inv.yml")], vault=vault([PASSWORD], [PROD], {})).hosts["v1"]
    assert scope(host)["prod_password"] == "top secret x"
    assert secret({"prod_password"}, Runbook(name="x", file="x.yaml", vars=host.vars))


def test_without_a_password_a_vaulted_value_is_an_error_only_where_it_is_used():
    inventory = load([str(VAULTS / "inv.yml")])
    host = inventory.hosts["v1"]
    assert scope(host)["inventory_hostname"] == "v1"
    with pytest.raises(Locked, match="no password was given") as error:
        host.vars["db_password"].evaluate({})
    assert error.value.where == f"{VAULTS / 'inv.yml'}:4"
    assert inventory.secrets() == {}
    assert any("vault.yml: its vars are missing" in warning for warning in inventory.warnings)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("$ANSIBLE_VAULT;1.1;AES\n00", "is unknown"),
        ("$ANSIBLE_VAULT;1.1;AES256\n00ff", "is damaged"),
        ("$ANSIBLE_VAULT;1.1;AES256\nxyz", "is damaged"),
        ("$ANSIBLE_VAULT\n00", "begins with"),
        ("plain", "begins with"),
    ],
)
def test_what_is_no_vault_is_told(text, told):
    with pytest.raises(UserError, match=told):
        Vault([("default", b"x")]).decrypt(text, "f:1")


def test_a_wrong_password_is_told_with_the_ids_that_were_given():
    text = (VAULTS / "hosts.ini").read_text()
    with pytest.raises(Locked, match="no password that was given opens this vault; given: a, b"):
        Vault([("a", b"x"), ("b", b"y")]).decrypt(text, "f:1")


def test_the_texts_of_a_vaulted_inventory_are_secrets():
    inventory = load([str(VAULTS / "hosts.ini")], vault=vault([PASSWORD], [], {}))
    assert inventory.secrets(inventory.matching("enc"))["e1.pw"] == "plain"


def test_a_users_name_in_a_vaulted_file_hides_no_text_and_a_password_there_does():
    inventory = load([str(VAULTS / "users.ini")], vault=vault([PASSWORD], [], {}))
    assert inventory.hosts["u1"].settings == {"user": "root", "password": "sesame99"}
    assert inventory.secrets()["u1.ansible_password"] == "sesame99"
    assert "root" not in inventory.secrets().values()


def test_a_password_in_clear_is_a_secret_all_the_same(tmp_path):
    inventory = made(tmp_path, "all:\n  hosts:\n    h: {ansible_become_password: hunter22, note: hunter}\n")
    host = inventory.hosts["h"]
    assert inventory.secrets() == {"h.ansible_become_password": "hunter22"}
    assert secret({"ansible_become_password"}, Runbook(name="x", file="x.yaml", vars=host.vars))
    assert host.settings == {"become_password": "hunter22"}


def test_a_program_says_the_password_and_a_client_is_told_the_id(tmp_path):
    client = tmp_path / "key-client"
    client.write_text('#!/bin/sh\n[ "$1 $2" = "--vault-id prod" ] && echo staple\n')
    client.chmod(0o755)
    assert vault([], [f"prod@{client}"], {}).keys == [("prod", b"staple")]


def test_the_environment_names_a_password_file():
    assert vault([], [], {"ANSIBLE_VAULT_PASSWORD_FILE": PASSWORD}).keys == [("default", b"horse battery")]


@pytest.mark.parametrize(
    ("files", "ids", "told"),
    [
        (["/no/such/file"], [], "no such file"),
        (["/dev/null"], [], "is empty"),
        ([], ["x@prompt"], "nobody can be asked"),
        (["/bin/false"], [], "exited 1"),
    ],
)
def test_a_password_that_can_not_be_had_is_told(files, ids, told):
    with pytest.raises(UserError, match=told):
        vault(files, ids, {})


BROKEN = [
    ("a.yaml", "- a\n", "a.yaml: this is no inventory"),
    ("a.yaml", "all:\n  hosts:\n    1:\n", "a.yaml:3:5: the host's name `1` is not text"),
    ("a.yaml", "all:\n  hosts:\n    h[a:]:\n", "a.yaml:3:5: the range [a:] has no end"),
    ("a.yaml", "all:\n  hosts: [a, b]\n", "a.yaml:2:3: `hosts` of the group `all` is a mapping, not a list"),
    ("a.yaml", "all:\n  hosts:\n    h: text\n", "a.yaml:3:5: the vars of `h` are a mapping"),
    ("a.yaml", "g:\n  children:\n    g:\n", "a.yaml:3:5: the group `g` is its own child"),
    ("a.yaml", "a:\n  children:\n    b:\n      children:\n        a:\n", "`b` is its own ancestor: b → a → b"),
    ("a.yaml", "a:\n  vars:\n    ansible_group_priority: high\n", "a.yaml:3:5: ansible_group_priority is a whole number"),
    ("a.yaml", "all:\n  vars:\n    x: !odd 1\n", "a.yaml:3:8: the tag !odd means nothing"),
    ("a.yaml", "all:\n  vars: {x: *y}\n", "a.yaml:2:13: *y stands for nothing"),
    ("a.yaml", "all:\n\thosts:\n", "a.yaml:2"),
    ("a.yaml", "plugin: aws_ec2\n", "configures Ansible's inventory plugin `aws_ec2`"),
    ("a.yaml", "name: x\ndetectors: []\n", "this is a runbook, and no inventory"),
    ("a.yaml", "a: " + "[" * 100_000, "nested deeper than"),
    ("a.yaml", "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(f"b{n}: &b{n} [{','.join([f'*b{n - 1}' if n else '*a'] * 10)}]\n" for n in range(9)),
     "counting what aliases stand for"),
    ("a.ini", "[g:odd]\n", "a.ini:1: `[g:odd]` has an unknown kind"),
    ("a.ini", "[g h]\n", "a.ini:1: `[g h]` is no section"),
    ("a.ini", "[g]\na x\n", "a.ini:2: `x` sets no var"),
    ("a.ini", "[g]\na x='1\n", "a.ini:2: `a x='1`: no closing quotation"),
    ("a.ini", "[g:vars]\nx=1\n", "a.ini:1: [g:vars] is for a group that is not there"),
    ("a.ini", "[g:children]\nh\n", "a.ini:2: [g:children] names the group `h`"),
    ("a.ini", "[g:vars]\nx\n[g]\n", "a.ini:2: `x` sets no var"),
    ("a.ini", "web:\n", "a.ini:1: `web:` ends in a colon"),
    ("a.ini", "---\nall:\n", "a.ini:1: `---` begins a YAML file"),
    ("a.ini", "h[1:99999999]\n", "stands for more than 1000000 hosts"),
    ("a.ini", "h[1:9999][1:9999]\n", "stands for more than 1000000 hosts"),
    ("a.ini", "h[1:2\n", "is not closed"),
    ("a.toml", "x = [", "this is no TOML"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "told"), BROKEN, ids=[told[:50] for _, _, told in BROKEN])
def test_a_broken_inventory_is_one_message_with_its_line(name, text, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        load([name])
    assert told in str(error.value)


def test_a_group_vars_file_that_is_no_mapping_is_told(tmp_path):
    with pytest.raises(UserError, match="a file of vars is a mapping"):
        made(tmp_path, "all:\n  hosts: {h: }\n", **{"group_vars/all.yml": "- x\n"})


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("all:\n  hosts: {h: }\n  vars:\n    a: 1\n    a: 2\n", ":5:5: the key a stands here a second time"),
        (
            "all:\n  hosts: {h: }\n  chldren: {}\n",
            ":3:3: `chldren` in the group `all` is passed over: did you mean children?",
        ),
        ("g: [1]\nall:\n  hosts: {h: }\n", ":1:1: `g` is no group and is passed over"),
        ("all:\n  hosts: {'h[3:1]': , h: }\n", "stands for no host"),
        ("h:\n  hosts: {h: }\n", "`h` is the name of a group and of a host"),
    ],
)
def test_what_ansible_would_pass_over_is_a_warning(text, warning, tmp_path):
    assert any(warning in each for each in made(tmp_path, text).warnings)


def test_a_pattern_that_names_nobody_is_an_error_that_knows_what_was_meant():
    inventory = load(["gpu01,gpu02,web"])
    with pytest.raises(UserError, match="no host matches `gpu1`") as error:
        inventory.matching("gpu1")
    assert error.value.mend == "did you mean gpu01?"


def test_one_term_of_several_that_names_nobody_is_a_warning():
    inventory = load(["gpu01,gpu02"])
    assert [host.name for host in inventory.matching("gpu01:wbe")] == ["gpu01"]
    assert inventory.warnings == ["no host and no group matches `wbe`"]


def test_limits_are_added_up_and_may_stand_in_a_file(tmp_path):
    (tmp_path / "retry").write_text("b\nc\n\n")
    inventory = load(["a,b,c,d"])
    assert [host.name for host in inventory.matching("all", ["a", f"@{tmp_path / 'retry'}", "!c"])] == ["a", "b"]


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("@/no/such", "it is not there"),
        ("@/", "it is a directory"),
        ("nobody", "no host matches"),
        ("~(", "no regular"),
    ],
)
def test_a_limit_that_can_not_be_is_told(limit, told):
    with pytest.raises(UserError, match=told):
        load(["a,b"]).matching("all", [limit])

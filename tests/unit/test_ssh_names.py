"""Names of an inventory that would become code, or another host's name."""

from __future__ import annotations

import pytest

from runbook.engine.errors import UserError
from runbook.engine.fleet.ssh import hop, known_hosts
from runbook.engine.fleet.target import Target

CODE = ["$(touch PWNED)", "web;id", "a`id`", "a b", "a\nb", "${HOME}", "-oProxyCommand=id", "a,b", "*", "a|b", "a'b"]


@pytest.mark.parametrize("name", CODE)
def test_a_name_with_what_a_shell_or_known_hosts_would_read_is_refused_before_anything_is_asked(name, tmp_path):
    config = tmp_path / "config"
    ran = tmp_path / "ran"
    config.write_text(f'Match exec "touch {ran} %h"\n  Port 1\nHost *\n  ProxyCommand touch {ran} %h\n')
    for target in (Target(name, ssh_args=f"-F {config}"), Target("web", address=name, ssh_args=f"-F {config}")):
        with pytest.raises(UserError, match="characters that can't be in one"):
            hop.resolve(target)
    assert not ran.exists()


@pytest.mark.parametrize("name", ["web", "web-1.example.org", "10.0.0.1", "fe80::1%eth0", "web_1"])
def test_what_names_are_made_of_passes(name, tmp_path):
    (tmp_path / "config").write_text("")
    assert hop.resolve(Target(name, ssh_args=f"-F {tmp_path / 'config'}")).address == name


@pytest.mark.parametrize("name", ["a,b", "*", "a\n@cert-authority *", "!a", "a b", "#a"])
def test_no_key_is_written_down_for_more_than_one_name(name, tmp_path):
    with pytest.raises(ValueError, match="no name that a key can stand for"):
        known_hosts.add(str(tmp_path / "known_hosts"), name, "ssh-ed25519", b"key", hashed=False)
    assert not (tmp_path / "known_hosts").exists()

"""A host is the one that was meant, or nothing is sent to it (invariant 3)."""

import base64
import hashlib
import re
import subprocess

import pytest
from sshds import lacking, make_key, sshds
from test_ssh_connections import _home, by_config, reached, works

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet.asker import Asker

__all__ = ["_home", "sshds"]
pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())


def fingerprint(line):
    """What ssh-keygen prints of a public key."""
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def refused(target, asker=None):
    """Return the refusal, of which nothing came near a login."""
    with pytest.raises(HostUnreachable) as caught:
        works(target, asker)
    return caught.value


def nobody_logged_in(hosts):
    return "Accepted" not in hosts["h1"].log


def test_an_unknown_key_is_refused_with_its_fingerprint_and_a_command_that_accepts_it(sshds):
    hosts = sshds()
    hosts.known_hosts.unlink()
    error = refused(reached(hosts))
    assert error.what == f"its host key is not known: ssh-ed25519 {fingerprint(hosts['h1'].host_key)}"
    assert nobody_logged_in(hosts)
    command = re.search(r"accept this one: (echo .* >> \S+)", error.mend)[1]
    subprocess.run(["/bin/sh", "-c", command], check=True)
    assert works(reached(hosts)) == "h1"


def test_a_changed_key_is_refused_with_both_fingerprints_the_line_and_what_mends_it(sshds):
    hosts = sshds()
    old, new = hosts["h1"].host_key, make_key(hosts["h1"].place / "host_key")
    hosts["h1"].stop()
    hosts["h1"].start()
    hosts.known_hosts.write_text(f"# a comment\n{hosts.known_hosts.read_text()}")
    error = refused(reached(hosts))
    assert "has CHANGED" in error.what
    assert f"shows ssh-ed25519 {fingerprint(new)}" in error.what
    assert f"known by ssh-ed25519 {fingerprint(old)} ({hosts.known_hosts}:2)" in error.what
    assert nobody_logged_in(hosts)
    accepting = refused(reached(hosts, accept_new=True))
    assert accepting.what == error.what
    command = re.search(r"right: (ssh-keygen .*)", error.mend)[1]
    subprocess.run(["/bin/sh", "-c", command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert works(reached(hosts)) == "h1"


def test_a_new_key_is_accepted_once_where_that_was_wished_and_told(sshds):
    hosts = sshds(2)
    hosts.known_hosts.write_text("somewhere ssh-ed25519 AAAA")  # without a line's end
    told = []
    asker = Asker(say=told.append)
    for _ in range(2):
        assert works(reached(hosts, accept_new=True), asker) == "h1"
    one = fingerprint(hosts["h1"].host_key)
    assert told == [f"h1: its host key was not known and is now: ssh-ed25519 {one}, added to {hosts.known_hosts}"]
    assert works(reached(hosts)) == "h1"
    strict = f"{reached(hosts).ssh_args} -o StrictHostKeyChecking=accept-new"
    assert works(reached(hosts, "h2", ssh_args=strict), asker) == "h2"
    assert len(hosts.known_hosts.read_text().splitlines()) == 3


def test_names_that_are_hashed_are_known_and_added(sshds):
    hosts = sshds()
    subprocess.run(["ssh-keygen", "-H", "-f", str(hosts.known_hosts)], check=True, capture_output=True)
    assert hosts["h1"].address not in hosts.known_hosts.read_text()
    assert works(reached(hosts)) == "h1"
    hosts.known_hosts.unlink()
    hashed = f"{reached(hosts).ssh_args} -o HashKnownHosts=yes"
    assert works(reached(hosts, accept_new=True, ssh_args=hashed), Asker(say=str)) == "h1"
    assert hosts.known_hosts.read_text().startswith("|1|")
    found = ["ssh-keygen", "-F", hosts["h1"].where(), "-f", str(hosts.known_hosts)]
    assert subprocess.run(found, check=True, capture_output=True).stdout
    assert works(reached(hosts)) == "h1"


def test_the_file_of_all_users_counts_too(sshds, tmp_path):
    hosts = sshds()
    hosts.known_hosts.rename(tmp_path / "global")
    assert works(reached(hosts, ssh_args=f"-o GlobalKnownHostsFile={tmp_path}/global")) == "h1"


def test_an_alias_is_looked_up_in_place_of_the_address(sshds):
    hosts = sshds()
    hosts.known_hosts.write_text(f"gpu-one {hosts['h1'].host_key}\n")
    aliased = f"{reached(hosts).ssh_args} -o HostKeyAlias=gpu-one"
    assert works(reached(hosts, ssh_args=aliased)) == "h1"


def test_a_name_without_a_port_holds_for_another_port_if_the_key_is_the_same(sshds):
    hosts = sshds()
    hosts.known_hosts.write_text(f"{hosts['h1'].address} {hosts['h1'].host_key}\n")
    assert works(reached(hosts)) == "h1"


def test_a_host_with_several_keys_is_asked_for_the_one_by_which_it_is_known(sshds):
    hosts = sshds()
    one = hosts["h1"]
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(one.place / "rsa_key")], check=True
    )
    one.stop()
    one._conf = f"HostKey {one.place}/rsa_key\n"
    one.start()
    rsa = (one.place / "rsa_key.pub").read_text().rsplit(" ", 1)[0]
    hosts.known_hosts.write_text(f"{one.where()} {rsa}\n")
    assert works(reached(hosts)) == "h1"


def test_another_kind_of_key_than_the_known_one_is_refused_even_where_new_ones_are_accepted(sshds, tmp_path):
    hosts = sshds()
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(tmp_path / "rsa")], check=True)
    hosts.known_hosts.write_text(f"{hosts['h1'].where()} {(tmp_path / 'rsa.pub').read_text()}")
    error = refused(reached(hosts, accept_new=True))
    assert "has CHANGED" in error.what
    assert "known by ssh-rsa" in error.what


@pytest.mark.parametrize("where", ["known_hosts", "RevokedHostKeys"])
def test_a_revoked_key_is_refused_though_it_is_known(sshds, tmp_path, where):
    hosts = sshds()
    one = hosts["h1"]
    args = reached(hosts).ssh_args
    if where == "known_hosts":
        hosts.known_hosts.write_text(hosts.known_hosts.read_text() + f"@revoked * {one.host_key}\n")
    else:
        (tmp_path / "revoked").write_text(f"{one.host_key}\n")
        args += f" -o RevokedHostKeys={tmp_path}/revoked"
    error = refused(reached(hosts, ssh_args=args, accept_new=True))
    assert f"is REVOKED: ssh-ed25519 {fingerprint(one.host_key)}" in error.what
    assert nobody_logged_in(hosts)


def test_a_binary_list_of_revoked_keys_trusts_nobody_and_says_what_to_name_instead(sshds, tmp_path):
    hosts = sshds(1)
    (tmp_path / "other.pub").write_text(make_key(tmp_path / "other"))
    made = ("ssh-keygen", "-q", "-k", "-f", str(tmp_path / "krl"), str(tmp_path / "other.pub"))
    subprocess.run(made, check=True, capture_output=True)
    error = refused(reached(hosts, ssh_args=f"{reached(hosts).ssh_args} -o RevokedHostKeys={tmp_path}/krl"))
    assert "a binary list of revoked keys (a KRL), which is not understood" in error.what
    assert "let RevokedHostKeys name a file of public keys, one a line" in error.mend
    assert subprocess.run(error.mend.rpartition(": ")[2], shell=True, check=False, capture_output=True).returncode == 0
    assert nobody_logged_in(hosts)


# host certificates


@pytest.fixture
def certified(sshds, tmp_path):
    """Start an sshd with a certificate, of which these are the options; return it, and its authority's line."""

    def start(*options, host=True, known="*"):
        authority = make_key(tmp_path / "authority")
        hosts = sshds()
        one = hosts["h1"]
        kind = ["-h"] if host else []
        key = str(one.place / "host_key.pub")
        sign = ["ssh-keygen", "-q", "-s", str(tmp_path / "authority"), "-I", "the id", *kind, *options, key]
        subprocess.run(sign, check=True)
        one.stop()
        one._conf = f"HostCertificate {one.place}/host_key-cert.pub\n"
        one.start()
        hosts.known_hosts.write_text(f"@cert-authority {known} {authority}\n")
        return hosts, authority

    return start


def test_a_host_with_a_certificate_of_a_trusted_authority_is_known(certified):
    hosts, _ = certified("-n", "127.0.1.1,gpu*", "-V", "-1m:+1h")
    assert works(reached(hosts)) == "h1"
    assert works(reached(hosts, ssh_args=f"{reached(hosts).ssh_args} -o HostKeyAlias=gpu7")) == "h1"


@pytest.mark.parametrize(
    ("options", "host", "why"),
    [
        (("-n", "127.0.1.2"), True, r"it is for 127\.0\.1\.2, not for 127\.0\.1\.1"),
        (("-n", "127.0.1.1", "-V", "-2h:-1h"), True, "it expired at 20"),
        (("-n", "127.0.1.1", "-V", "+1h:+2h"), True, "it is not valid before 20"),
        ((), True, "it is for nobody"),
    ],
)
def test_a_certificate_that_does_not_fit_is_refused_with_its_reason(certified, options, host, why):
    hosts, _ = certified(*options, host=host)
    error = refused(reached(hosts))
    assert re.search(f"its host certificate `the id` can't be accepted: {why}", error.what), error.what
    assert f"authority: {hosts.known_hosts}:1" in error.what
    assert nobody_logged_in(hosts)


def test_a_certificate_of_an_authority_that_is_not_trusted_here_counts_as_the_key_in_it(certified, tmp_path):
    hosts, authority = certified("-n", "127.0.1.1", known="other*")
    error = refused(reached(hosts))
    assert "is not known: ssh-ed25519" in error.what
    hosts.known_hosts.write_text(f"{hosts['h1'].where()} {hosts['h1'].host_key}\n@cert-authority x* {authority}\n")
    assert works(reached(hosts)) == "h1"


def test_a_certificate_that_is_signed_with_sha1_is_refused(sshds, tmp_path):
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(tmp_path / "authority")], check=True
    )
    hosts = sshds()
    one = hosts["h1"]
    for kind, fine in (("rsa-sha2-512", True), ("ssh-rsa", False)):
        sign = ["ssh-keygen", "-q", "-s", str(tmp_path / "authority"), "-t", kind, "-I", "x", "-h", "-n", one.address]
        subprocess.run([*sign, str(one.place / "host_key.pub")], check=True)
        one.stop()
        one._conf = f"HostCertificate {one.place}/host_key-cert.pub\n"
        one.start()
        hosts.known_hosts.write_text(f"@cert-authority * {(tmp_path / 'authority.pub').read_text()}")
        if fine:
            assert works(reached(hosts)) == "h1"
        else:
            assert "signed with SHA-1" in refused(reached(hosts)).what


@pytest.mark.parametrize("what", ["authority", "key"])
def test_a_certificate_is_refused_when_its_authority_or_its_key_was_revoked(certified, what):
    hosts, authority = certified("-n", "127.0.1.1")
    revoked = authority if what == "authority" else hosts["h1"].host_key
    hosts.known_hosts.write_text(hosts.known_hosts.read_text() + f"@revoked * {revoked}\n")
    assert "is REVOKED" in refused(reached(hosts)).what


def test_a_certificate_that_was_tampered_with_is_refused(certified):
    hosts, _ = certified("-n", "127.0.1.2")
    path = hosts["h1"].place / "host_key-cert.pub"
    kind, blob, *_ = path.read_text().split()
    forged = base64.b64encode(base64.b64decode(blob).replace(b"127.0.1.2", b"127.0.1.1")).decode()
    path.write_text(f"{kind} {forged} x\n")
    hosts["h1"].stop()
    hosts["h1"].start()
    what = refused(reached(hosts)).what
    assert "signature" in what or "not known" in what  # sshd itself may refuse to load such a one
    assert nobody_logged_in(hosts)


def test_a_jump_host_has_to_be_the_right_one_too(sshds):
    hosts = sshds(2)
    hosts.known_hosts.write_text(f"{hosts['h2'].where()} {hosts['h2'].host_key}\n")
    error = refused(by_config(hosts, "h2", "Host h2", "ProxyJump h1"))
    assert error.where == "h2"
    assert error.what.startswith("h1 (jump host): its host key is not known")

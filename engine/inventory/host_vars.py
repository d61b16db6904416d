"""Single vars of an inventory: what is misspelt, what no host can be reached with, what should not stand in clear."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from runbook.engine.inventory.settings import PASSWORDS, SETTINGS
from runbook.engine.inventory.texts import Sealed
from runbook.engine.language.nearest import nearest
from runbook.modules.frozen import frozen

_PORTS: Final = (*SETTINGS["port"], "ansible_shell_port")
_LAST_PORT: Final = 65535
_CONNECTIONS: Final = (
    "ssh",
    "local",
    "smart",
    "paramiko",
    "paramiko_ssh",
    "ansible.builtin.ssh",
    "ansible.builtin.local",
)
_METHODS: Final = ("sudo", "ansible.builtin.sudo")
_TRUTHS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "1", "0", "y", "n", "t", "f"})
_KNOWN: Final = frozenset(name for names in SETTINGS.values() for name in names) | frozenset(
    f"ansible_{name}"
    for name in """
    group_priority shell_type shell_executable executable become_exe become_flags become_plugin remote_tmp remote_user
    ssh_executable scp_executable sftp_executable scp_extra_args sftp_extra_args ssh_pipelining pipelining ssh_args
    ssh_retries ssh_timeout timeout host_key_checking ssh_host_key_checking control_path ssh_control_path
    ssh_transfer_method ssh_use_tty ssh_private_key_passphrase private_key network_os winrm_transport winrm_scheme
    winrm_port winrm_server_cert_validation facts facts_parallel async_dir verbosity check_mode diff_mode forks limit
    version playbook_python local_temp system_tmpdirs paramiko_proxy_command psrp_auth docker_extra_args managed
    sudo sudo_user sudo_pass su su_user su_pass distribution os_family hostname fqdn architecture kernel
    python_version pkg_mgr service_mgr connection_timeout persistent_command_timeout httpapi_port
    httpapi_use_ssl httpapi_validate_certs command_timeout common_remote_group world_readable_temp
    """.split()  # noqa: SIM905 -- eighty names
)
_TELLING: Final = re.compile(
    r"(?:.*_)?(?:password|passwd|passphrase|token|api_?key|secret|secret_key|access_key|client_secret)", re.IGNORECASE
)
_ELSEWHERE: Final = re.compile(r"\{\{|^\$|^/|^~|^<|^\*+$|^$")


@frozen
class Judged:
    """What lint has to say about a var."""

    code: str
    level: Literal["error", "warning"]
    message: str
    hint: str


def judge(name: str, value: Any) -> Judged | None:
    """Say what is wrong with a var, or nothing.

    Example:
        >>> judge("ansible_prot", 22).hint
        'did you mean ansible_port?'
    """
    if isinstance(value, Sealed) or (isinstance(value, str) and "{{" in value):
        return None
    if name in PASSWORDS or (_TELLING.fullmatch(name) and isinstance(value, str) and _plain(value)):
        if value in (None, "") or (isinstance(value, str) and _ELSEWHERE.search(value)):
            return None
        return Judged("RB031", "error", f"`{name}` stands here in clear",
                      f"encrypt it: ansible-vault encrypt_string --name {name}")  # fmt: skip
    wrong = _wrong(name, value)
    if wrong:
        return Judged("RB067", "error", *wrong)
    if name.startswith("ansible_") and name not in _KNOWN and (near := _near(name)):
        return Judged("RB066", "warning", f"`{name}` is no var that Ansible or runbook knows", f"did you mean {near}?")
    return None


def _plain(value: str) -> bool:
    return len(value) >= 4 and not any(each.isspace() for each in value)


def _near(name: str) -> str | None:
    from difflib import SequenceMatcher

    near = nearest(name, sorted(_KNOWN))
    alike = SequenceMatcher(None, name.removeprefix("ansible_"), near.removeprefix("ansible_")).ratio() if near else 0
    return near if alike >= 0.75 else None


def _wrong(name: str, value: Any) -> tuple[str, str] | None:
    text = str(value).strip()
    if name in _PORTS:
        number = int(text) if text.isascii() and text.isdigit() and not isinstance(value, bool) else 0
        if not 0 < number <= _LAST_PORT:
            return f"`{name}` is {text[:40]}, which is no port", f"a port is a number from 1 to {_LAST_PORT}"
    if name in SETTINGS["become"] and value is not None and text.lower() not in _TRUTHS:
        return (
            f"`{name}` is {text[:40]}, which is neither true nor false",
            "who to become stands in ansible_become_user",
        )
    if name in SETTINGS["connection"] and value is not None and text not in _CONNECTIONS:
        near = nearest(text, _CONNECTIONS[:3])
        return (
            f"runbook has no connection `{text[:40]}`",
            f"did you mean {near}?" if near else "there are ssh and local",
        )
    if name in SETTINGS["become_method"] and value is not None and text not in _METHODS:
        return f"runbook can't become another user by `{text[:40]}`", "it does by sudo"
    if name in (*SETTINGS["host"], *SETTINGS["user"]) and value is not None:
        is_word = text and not text.startswith("-") and not any(each.isspace() for each in text)
        if isinstance(value, (dict, list)) or not is_word:
            return f"`{name}` is `{text[:40]}`, which is no name", "write one word"
    return None

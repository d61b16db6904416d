"""How a host is reached: Ansible's connection vars by our names, and ours without the prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# Of several names of one setting the last that is there counts, as in Ansible.
SETTINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "host": ("ansible_host", "ansible_ssh_host"),
    "port": ("ansible_port", "ansible_ssh_port"),
    "user": ("ansible_user", "ansible_ssh_user"),
    "password": ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password"),
    "ssh_private_key_file": ("ansible_private_key_file", "ansible_ssh_private_key_file"),
    "ssh_common_args": ("ansible_ssh_common_args",),
    "ssh_extra_args": ("ansible_ssh_extra_args",),
    "python_interpreter": ("ansible_python_interpreter",),
    "connection": ("ansible_connection",),
    "become": ("ansible_become",),
    "become_user": ("ansible_become_user",),
    "become_method": ("ansible_become_method",),
    "become_password": ("ansible_become_pass", "ansible_become_password"),
}
PASSWORDS: Final = frozenset({*SETTINGS["password"], *SETTINGS["become_password"], "ansible_sudo_pass"})
PLAIN: Final = frozenset(name for key, names in SETTINGS.items() if "password" not in key for name in names)
_OURS: Final = {"agent_dir": "runbook_agent_dir"}  # of no meaning to Ansible: with the prefix or without, beside all
_ANSIBLES: Final = frozenset(name for names in SETTINGS.values() for name in names)


def names(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the vars that say how a host is reached, by setting.

    A name without the prefix (`user`, `port`) counts where a host has none of Ansible's: in an inventory that was
    written for Ansible `port` may be anything's.

    Example:
        >>> names({"ansible_user": "ops", "port": 8080})
        {'user': 'ansible_user'}
        >>> names({"user": "ops", "port": 2222})
        {'port': 'port', 'user': 'user'}
    """
    found = {setting: name for setting, name in _OURS.items() if name in given}
    if given.keys().isdisjoint(_ANSIBLES):
        return {setting: setting for setting in (*_OURS, *SETTINGS) if setting in given} | found
    for setting, known in SETTINGS.items():
        for name in known:
            if given.get(name) is not None:
                found[setting] = name
    return found

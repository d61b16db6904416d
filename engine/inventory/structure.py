"""The structure of a YAML inventory as JSON Schema; `schemas/inventory.schema.json` is for editors."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from runbook.engine.inventory.settings import SETTINGS

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_BOOLEAN: Final = {"type": ["boolean", "string"]}  # INI and templates have texts
_PORT: Final = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string"}]}
_ABOUT: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "host": ("Where the host is, when its name does not resolve: a name or an address.", {"type": "string"}),
    "port": ("The port of its sshd; default: ssh's own, 22.", _PORT),
    "user": ("Who logs in.", {"type": "string"}),
    "password": ("The password of the login; in a vault only. Keys are better.", {}),
    "ssh_private_key_file": ("The private key of the login.", {"type": "string"}),
    "ssh_common_args": ("Options for ssh, such as `-o ProxyJump=bastion`.", {"type": "string"}),
    "ssh_extra_args": ("More options for ssh.", {"type": "string"}),
    "python_interpreter": ("The Python that runs the agent; default: `auto`, the first that is 3.9 or newer.",
                           {"type": "string"}),
    "connection": ("`ssh`, or `local` for this machine.", {"type": "string"}),
    "become": ("Whether everything is done as another user.", _BOOLEAN),
    "become_user": ("Which user; default: root.", {"type": "string"}),
    "become_method": ("How; runbook knows `sudo`.", {"type": "string"}),
    "become_password": ("The password of sudo; in a vault only.", {}),
}  # fmt: skip


@cache
def document() -> dict[str, Any]:
    """Return the schema of an inventory."""
    return {
        "$schema": _DIALECT,
        "$id": "urn:runbook:schema:inventory:1",
        "title": "inventory",
        "description": "Hosts and their groups, in Ansible's shape.",
        "type": "object",
        "properties": {
            "all": {"$ref": "#/$defs/group", "description": "The group of all hosts."},
            "ungrouped": {"$ref": "#/$defs/group", "description": "The hosts that are in no other group."},
        },
        "additionalProperties": {"$ref": "#/$defs/group"},
        "minProperties": 1,
        "$defs": {"group": _group(), "hosts": _hosts(), "vars": _vars()},
    }


def _group() -> dict[str, Any]:
    return {
        "type": ["object", "null"],
        "title": "group",
        "properties": {
            "hosts": {"$ref": "#/$defs/hosts"},
            "vars": {"$ref": "#/$defs/vars", "description": "Of every host of the group, unless it has its own."},
            "children": {
                "description": "The groups below this one: their hosts are its hosts.",
                "type": ["object", "string", "null"],
                "additionalProperties": {"$ref": "#/$defs/group"},
            },
        },
        "additionalProperties": False,
    }


def _hosts() -> dict[str, Any]:
    return {
        "description": "Each a key, with its vars below: `gpu01:`, `gpu[01:64].example.org:`, `web[a:f]:2222:`.",
        "type": ["object", "string", "null"],
        "additionalProperties": {"$ref": "#/$defs/vars"},
    }


def _vars() -> dict[str, Any]:
    known: dict[str, Any] = {}
    for setting, names in SETTINGS.items():
        about, shape = _ABOUT[setting]
        for name in (*names, setting):
            plain = name == setting
            told = f"{about} Counts for hosts that have no `ansible_` name." if plain else about
            known[name] = {"description": told, **({} if plain else shape)}
    known["ansible_group_priority"] = {
        "description": "Of a group: among groups of one depth, the vars of the higher one count; default 1.",
        "type": ["integer", "string"],
    }
    return {"type": ["object", "null"], "title": "vars", "properties": known}

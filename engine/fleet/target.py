"""How a host is reached, from what the inventory says of it."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any, Literal

from runbook.engine.errors import UserError
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.engine.inventory.inventory import Host

TIMEOUT = 10.0  # seconds for each of: connect, the server's version, key exchange, authentication, a channel
_TRUE, _FALSE = frozenset({"yes", "true", "on", "1"}), frozenset({"no", "false", "off", "0", ""})


@frozen
class Options:
    """What the command line says for all hosts; it comes before the inventory, as in Ansible.

    Fields that are None leave it to the inventory.
    """

    user: str | None = None
    key_file: str | None = None
    connection: str | None = None
    become: bool | None = None
    become_user: str | None = None
    become_password: str | None = None
    password: str | None = None
    ssh_args: str | None = None  # added to the inventory's
    timeout: float = TIMEOUT


@frozen
class Target:
    """One host, and how it is reached.

    What is empty or None is left to ~/.ssh/config, and then to ssh's own defaults.
    """

    name: str
    address: str = ""  # empty: the name
    port: int | None = None
    user: str = ""
    key_file: str = ""
    password: str | None = None
    python: str = "auto"
    connection: Literal["ssh", "local"] = "ssh"
    ssh_args: str = ""  # options as `ssh` has them
    become: bool = False
    become_user: str = "root"
    become_password: str | None = None
    agent_dir: str | None = None  # on the host, where the agent keeps what is its own
    timeout: float = TIMEOUT  # seconds

    def __repr__(self) -> str:
        """Say which, and never a password."""
        return f"Target({self.name!r})"


def target(host: Host, options: Options | None = None) -> Target:
    """Return how a host is reached.

    Raises:
        UserError: a port that is none, a connection or a way of becoming that is not known.

    Example:
        >>> target(inventory.hosts["gpu01"], Options(user="ops")).user    # doctest: +SKIP
        'ops'
    """
    options = options or Options()
    said = host.settings
    args = " ".join(filter(None, (str(said.get(name, "")) for name in ("ssh_common_args", "ssh_extra_args"))))
    method = str(said.get("become_method", "sudo"))
    become = options.become if options.become is not None else _truth(host, "become", said.get("become", False))
    if become and method not in {"sudo", "ansible.builtin.sudo"}:
        raise UserError(f"become_method: {method} is not known", where=host.name, mend="only sudo is")
    return Target(
        name=host.name,
        address=str(said.get("host", "")),
        port=_port(host, said.get("port")),
        user=options.user or str(said.get("user", "")),
        key_file=options.key_file or str(said.get("ssh_private_key_file", "")),
        password=options.password or _secret(said.get("password")),
        python=str(said.get("python_interpreter", "auto")).replace("auto_silent", "auto").replace("auto_legacy", "auto"),
        connection=_connection(host, options.connection or str(said.get("connection", "ssh"))),
        ssh_args=" ".join(filter(None, (options.ssh_args, args))),
        become=become,
        become_user=options.become_user or str(said.get("become_user", "root")),
        become_password=options.become_password or _secret(said.get("become_password")),
        agent_dir=_secret(said.get("agent_dir")),
        timeout=options.timeout,
    )


def login(target: Target) -> str:
    """Return who is at work here, and so logs in where nothing else is said."""
    return target.user or getpass.getuser()


def _secret(value: Any) -> str | None:
    return None if value is None else str(value)


def _port(host: Host, value: Any) -> int | None:
    if value is None or value == "":
        return None
    text = str(value)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise UserError(f"ansible_port: {text!r} is no port", where=host.name, mend="give a number from 1 to 65535")
    return int(text)


def _truth(host: Host, name: str, value: Any) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise UserError(f"ansible_{name}: {value!r} is neither true nor false", where=host.name)


def _connection(host: Host, value: str) -> Literal["ssh", "local"]:
    known: dict[str, Literal["ssh", "local"]] = {
        "ssh": "ssh",
        "smart": "ssh",
        "paramiko": "ssh",
        "paramiko_ssh": "ssh",
        "ansible.builtin.ssh": "ssh",
        "local": "local",
        "ansible.builtin.local": "local",
    }
    if value not in known:
        raise UserError(f"ansible_connection: {value} is not known", where=host.name, mend="it may be ssh or local")
    return known[value]

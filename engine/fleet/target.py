"""How a host is reached, from what the inventory says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from runbook.engine.errors import HostUnreachable, UserError
from runbook.engine.fleet import starting
from runbook.engine.fleet.become import Become
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from runbook.engine.fleet.starting import Start
    from runbook.engine.inventory.inventory import Host

TIMEOUT = 10.0
SUDO = "sudo"


@frozen
class Options:
    """What the command line says for all hosts; it comes before the inventory, as in Ansible."""

    user: str = ""
    private_key_file: str = ""
    timeout: float = TIMEOUT  # seconds
    accept_new: bool = False
    become_password: str | None = None
    agent_dir: str | None = None  # for this machine: where its agents keep what is their own


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
    accept_new: bool = False  # a host key that is not known yet is accepted, and told
    become_method: str = SUDO
    become_password: str | UserError | None = None  # an error: why it can't be had
    agent_dir: str | None = None  # on the host: where its agents keep what is their own
    timeout: float = TIMEOUT  # seconds for each of: connect, version, key exchange, authentication, a channel

    def __repr__(self) -> str:
        """Say which, and never a password."""
        return f"Target({self.name!r})"


def target(host: Host, options: Options | None = None) -> Target:
    """Return how a host is reached.

    Raises:
        UserError: a port that is none, a connection that is not known.

    Example:
        >>> target(inventory.hosts["gpu01"], Options(user="ops")).user    # doctest: +SKIP
        'ops'
    """
    options = options or Options()
    said = host.settings
    connection = _connection(host, str(said.get("connection", "ssh")))
    return Target(
        name=host.name,
        address=str(said.get("host", "")),
        port=_port(host, said.get("port")),
        user=options.user or str(said.get("user", "")),
        key_file=options.private_key_file or str(said.get("ssh_private_key_file", "")),
        password=_text(said.get("password")),
        python=_python(str(said.get("python_interpreter", "auto"))),
        connection=connection,
        ssh_args=" ".join(str(said[name]) for name in ("ssh_common_args", "ssh_extra_args") if said.get(name)),
        accept_new=options.accept_new,
        become_method=str(said.get("become_method", SUDO)).removeprefix("ansible.builtin."),
        become_password=options.become_password or _password(said.get("become_password")),
        agent_dir=_text(said.get("agent_dir")) or (options.agent_dir if connection == "local" else None),
        timeout=options.timeout,
    )


def become(target: Target, user: str) -> Become:
    """Return how an agent is run as another user of a host.

    Raises:
        HostUnreachable: the inventory says another way than sudo.
        UserError: the password is vaulted, and nothing opens it.
    """
    if target.become_method != SUDO:
        raise HostUnreachable(
            f"become_method: {target.become_method} is not known",
            where=target.name,
            mend="only sudo is; log in as that user instead (`ansible_user`)",
        )
    if isinstance(target.become_password, UserError):
        raise target.become_password
    return Become(user, target.become_password)


def unreachable(target: Target, error: UserError) -> HostUnreachable:
    """Return an error as the reason why a host can't be reached, with the place that it names."""
    what = error.what if error.where in {"", target.name} else f"{error.where}: {error.what}"
    return HostUnreachable(what, where=target.name, mend=error.mend)


def begin(target: Target, other: str | None) -> Start:
    """Return how an agent is started there, as another user where one is named.

    Raises:
        HostUnreachable: it can't be, by what the inventory says.
    """
    try:
        return starting.start(target.python, None if other is None else become(target, other))
    except UserError as error:
        raise unreachable(target, error) from error


def own_dir(target: Target, user: str | None) -> str | None:
    """Return where an agent keeps its own; each user has another place, since nobody else may write there."""
    return target.agent_dir and (target.agent_dir if user is None else f"{target.agent_dir}-{user}")


def _python(value: str) -> str:
    """Return the interpreter; Ansible's several ways to look for one are one here."""
    return "auto" if value.startswith("auto") else value


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _password(value: Any) -> str | UserError | None:
    return value if isinstance(value, UserError) else _text(value)


def _port(host: Host, value: Any) -> int | None:
    if value is None or value == "":
        return None
    text = str(value)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise UserError(f"ansible_port: {text!r} is no port", where=host.name, mend="give a number from 1 to 65535")
    return int(text)


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

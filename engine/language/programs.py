"""Programs that take code, or the name of another program, among their words: what is known of their options."""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Options(NamedTuple):
    """Which of a program's options are followed by what; letters that are not named are flags."""

    code: str = ""  # code, or a file of it
    values: str = ""
    attached: str = ""  # the rest of the word belongs to them
    permutes: bool = False  # options may stand behind operands
    ends: str = ""  # behind these and their value all is data


INTERPRETERS: Final = {
    "shell": Options(values="oO"),
    "python": Options("c", "WXQ", ends="cm"),
    "perl": Options("eE", "I", "MmiFxDV"),
    "ruby": Options("e", "rICE", "iKTWx0F"),
    "node": Options("ep", "rC"),
    "php": Options("rBREF", "dcztS"),
    "lua": Options("e", "l"),
    "awk": Options("feE", "Fvil"),
    "sed": Options("ef", "l", "i", permutes=True),
    "jq": Options("f", "L", permutes=True),
}


def _listed(names: str) -> frozenset[str]:
    return frozenset(names.split())


_SHELLS: Final = re.compile(r"(ba|rba|da|z|k|mk|pdk|a|ya|tc|c)?sh(-[0-9.]+)?")
_NAMES: Final = re.compile(
    r"(?:(?P<python>i?python|pypy)|(?P<perl>perl)|(?P<ruby>j?ruby)|(?P<php>php)|(?P<lua>lua(?:jit)?)|(?P<node>node(?:js)?|Rscript)"
    r"|(?P<awk>[gmn]?awk)|(?P<sed>g?sed)|(?P<jq>[jy]q|gojq))[0-9.]*(?:-(?:dbg|config|[0-9.]+))?"
)
# All that these get may become code: text for a remote or local shell, an editor's command, a database's, a build's.
WHOLE: Final = _listed(
    "ssh rsh autossh mosh dsh pdsh clush pssh parallel-ssh ansible salt watch eval source su script expect gdb lldb "
    "parallel make gmake bmake ninja cmake ed ex vi vim nvim view emacs emacsclient crontab at batch sqlite3 duckdb m4 "
    "bc dc fish pwsh nu xonsh elvish entr socat ncat tmux screen npx npm pip pip3 pipx uvx gem cpan cpanm xterm rlwrap "
    "start-stop-daemon busctl gdbus dbus-send tclsh wish guile julia R osascript groovy scala elixir erl octave bun "
    "deno"
)
# Programs that start another: their flags without a value, and how many operands stand before the program.
WRAPPERS: Final = {
    "timeout": ("v", 1), "nice": ("", 0), "ionice": ("t", 0), "nohup": ("", 0), "setsid": ("cfw", 0),
    "stdbuf": ("", 0), "sudo": ("AbEHnPSkKNv", 0), "doas": ("nL", 0), "env": ("i0v", 0), "time": ("apvq", 0),
    "chroot": ("", 1), "unshare": ("muinpUCTfr", 0), "xargs": ("0rtxpo", 0), "strace": ("fFcCdhiqrtTvVxyz", 0),
    "ltrace": ("fcCriStT", 0), "taskset": ("ac", 1), "chrt": ("abfior", 1), "numactl": ("al", 0), "setpriv": ("", 0),
    "nsenter": ("amuinpCUTrwFZ", 0), "runuser": ("", 0), "flock": ("sxneuoFn", 1), "busybox": ("", 0),
    "toybox": ("", 0), "srun": ("lvQuX", 0), "salloc": ("QvH", 0), "mpirun": ("", 0), "mpiexec": ("", 0),
    "torchrun": ("", 0), "deepspeed": ("", 0), "systemd-run": ("dGPqrtS", 0), "systemd-inhibit": ("", 0),
    "systemd-cat": ("", 0), "prlimit": ("", 0), "setarch": ("R", 1), "linux64": ("R", 0), "tini": ("gsvw", 0),
    "dumb-init": ("cv", 0), "gosu": ("", 1), "su-exec": ("", 1), "chpst": ("v012", 0), "setuidgid": ("", 1),
    "softlimit": ("", 0), "cgexec": ("", 0), "unbuffer": ("p", 0), "chronic": ("ev", 0), "ts": ("", 0),
    "firejail": ("", 0), "bwrap": ("", 0), "fakeroot": ("", 0), "proot": ("", 0), "catchsegv": ("", 0),
    "valgrind": ("", 0), "perf": ("", 1), "nsys": ("", 1), "ncu": ("", 0), "daemonize": ("av", 0), "sshpass": ("ev", 0),
    "caffeinate": ("", 0), "exec": ("cl", 0), "command": ("p", 0), "builtin": ("", 0), "pkexec": ("", 0),
    "run-parts": ("", 0), "uv": ("", 1), "poetry": ("", 1), "conda": ("", 1), "mamba": ("", 1), "accelerate": ("", 1),
    "apptainer": ("", 2), "singularity": ("", 2), "ip": ("", 3), "scl": ("", 1),
}  # fmt: skip
CONTAINERS: Final = frozenset({"docker", "podman", "nerdctl", "kubectl", "oc", "crictl", "ctr", "lxc", "machinectl"})
JOINING: Final = {"sudo": "is", "flock": "c", "env": "S", "runuser": "c"}  # options that hand the words to a shell
JOINING_LONG: Final = re.compile(r"--(shell|login|command|split-string|session-command)(=.*)?", re.DOTALL)
# These start another program only behind one of their own commands.
STARTING: Final = dict.fromkeys(("ip", "apptainer", "singularity", "conda", "mamba", "uv", "poetry"), ("exec", "run"))
# Programs that start nothing from their words, so that `bash -c` among these is text.
DATA: Final = _listed(
    "echo printf logger grep egrep fgrep zgrep rm rmdir mv cp ln ls cat tee kill killall pkill pgrep systemctl service "
    "journalctl scontrol squeue scancel sacct sacctmgr sinfo nvidia-smi touch mkdir chmod chown chgrp test [ mail wall "
    "write head tail wc stat df du ps lsof fuser truncate date true false dmesg id getent sha256sum md5sum"
)
_READING: Final = frozenset({"xargs", "psql", "mysql", "mariadb"})
LONG_CODE: Final = re.compile(
    r"--(command|cmd|eval|exec|execute|expression|split-string|run|rsh|rsync-path|to-command|checkpoint-action|wrap"
    r"|use-compress-program|compress-program|init-command|upload-pack|receive-pack|(task-)?(pro|epi)log|use-askpass)"
)
INTERPRETED: Final = re.compile(r"--(source|file|print|from-file|eval|exec)")
PLAIN_LONG: Final = re.compile(
    r"--(no-?\w[\w-]*|login|posix|restricted|verbose|quiet|silent|regexp-extended|in-place|debug|separate|unbuffered"
    r"|null-data|zero-terminated|follow-symlinks|sandbox|raw-output|compact-output|slurp|null-input|raw-input|join-output"
    r"|exit-status|sort-keys|tab|seq|stream|ascii-output|re-interval|traditional|rm|privileged|detach|interactive|tty|init|foreground|preserve-status|wait|pty|collect"
    r"|ignore-environment|non-interactive|preserve-env|set-home|exclusive|label|overlap)"
)
SHORT_CODE: Final = {
    "tar": "IF", "rsync": "e", "git": "c", "scp": "oSF", "sftp": "oSFDb", "tcpdump": "z", "wget": "e", "curl": "K",
    "psql": "cf", "mysql": "e", "mariadb": "e", "man": "PH", "zip": "T", "clickhouse-client": "q",
}  # fmt: skip
RUNNING_MODULES: Final = re.compile(
    r"(timeit|pdb|trace|c?[pP]rofile|runpy|code|asyncio|pip|coverage|debugpy|IPython|doctest|unittest|pytest|ensurepip"
    r"|torch\.distributed\.(run|launch)|accelerate\..*)(\..*)?"
)
FIND_VALUES: Final = re.compile(
    r"-(i?name|i?path|i?wholename|user|group|uid|gid|newer..|newer|anewer|cnewer|[acm](time|min)|size|perm|links|inum"
    r"|type|maxdepth|mindepth|lname|ilname|samefile|fstype|used)"
)
ASSIGNMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=.*", re.DOTALL)
_LOADING: Final = re.compile(
    r"LD_\w+|DYLD_\w+|(BASH_)?ENV|PATH|IFS|SHELL(OPTS)?|BASHOPTS|PS4|PROMPT_COMMAND|BASH_FUNC_.*|PYTHON\w+|PERL5?\w*"
    r"|RUBY(OPT|LIB)|NODE_(OPTIONS|PATH)|GIT_\w+|EDITOR|VISUAL|PAGER|LESS(OPEN|CLOSE)|(GNU)?MAKEFLAGS|MFLAGS|MAKEFILES"
    r"|_?JAVA_(TOOL_)?OPTIONS|JDK_JAVA_OPTIONS|CLASSPATH|LUA_\w+|PHPRC|PHP_INI_SCAN_DIR|AWK(LIB)?PATH|RSYNC_RSH"
    r"|CVS_RSH|TAR_OPTIONS|GCONV_PATH|BROWSER|OPENSSL_(CONF|ENGINES|MODULES)|ZDOTDIR|SUDO_ASKPASS|SSH_ASKPASS"
)


def name(word: str) -> str:
    """Return a program's name without its directory."""
    return os.path.basename(word)  # noqa: PTH119 -- text, not looked up


def kind(program: str) -> str | None:
    """Return what a program interprets, by its name: `shell`, `python`, `awk`, …; None where it is no interpreter."""
    if _SHELLS.fullmatch(program):
        return "shell"
    match = _NAMES.fullmatch(program)
    return match.lastgroup if match is not None else None


def reads_code(words: Sequence[str]) -> bool:
    """Tell whether a command may take what it reads for code, or for the words of one."""
    if words and name(words[0]) in DATA:
        return False
    filtering = {"sed", "awk", "jq"}  # they read data, unless their code is a file
    for program in map(name, words):
        found = kind(program)
        if program in WHOLE or program in _READING or (found is not None and found not in filtering):
            return True
        if found in filtering and any(word.startswith(("-f", "--f")) for word in words):
            return True
    return False


def loads_code(variable: str) -> bool:
    """Tell whether programs take code, or where to look for it, from an environment variable."""
    return _LOADING.fullmatch(variable) is not None

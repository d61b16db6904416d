"""What programs do with their words: which of them are code, and which are data. By name, without any value.

Where a program is an interpreter, or starts another, and it is not clear that a word is data, it counts as code.
"""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Reading(NamedTuple):
    """How a word of a command would be read."""

    program: int  # the place of the program that gets it, behind `timeout`, `sudo` and their like
    peril: str = ""  # why no host text may stand there; empty = it is data
    free: bool = False  # it is an argument of code that the runbook holds, and never an option


class _Options(NamedTuple):
    """Which of a program's options are followed by what; letters that are not named are flags."""

    code: str = ""  # code, or a file of it
    values: str = ""
    attached: str = ""  # the rest of the word belongs to them
    permutes: bool = False  # options may stand behind operands
    argv: str = ""  # the code option that ends all options


_SHELL: Final = _Options(values="oO")
_INTERPRETERS: Final = {
    "python": _Options("c", "WXQm", argv="cm"),
    "perl": _Options("eE", "I", "MmiFxDCVl0"),
    "ruby": _Options("er", "ICE", "iKTWx0F"),
    "node": _Options("epr", "C"),
    "php": _Options("rBREF", "dcztS"),
    "lua": _Options("el"),
    "awk": _Options("feEil", "Fv"),
    "sed": _Options("ef", "l", "i", permutes=True),
    "jq": _Options("fL", "", "", permutes=True),
}
_SHELLS: Final = re.compile(r"(ba|rba|da|z|k|mk|pdk|a|ya|tc|c|r)?sh(-[0-9.]+)?")
_NAMES: Final = re.compile(
    r"(?:(?P<python>i?python|pypy)|(?P<perl>perl)|(?P<ruby>j?ruby)|(?P<php>php)|(?P<lua>lua(?:jit)?|tclsh|wish|guile)"
    r"|(?P<node>node(?:js)?|bun|deno|julia|Rscript|R|osascript|groovy|scala|elixir|erl|ghc|octave)"
    r"|(?P<awk>[gmn]?awk)|(?P<sed>g?sed)|(?P<jq>[jy]q|gojq))[0-9.]*(?:-(?:dbg|config|[0-9.]+))?"
)
# All that these get may become code: text for a remote or local shell, an editor's command, a database's, a build's.
_WHOLE: Final = frozenset(
    "ssh autossh mosh dsh pdsh clush pssh parallel-ssh ansible salt watch eval source su script expect gdb lldb parallel "
    "make gmake bmake ninja cmake ed ex vi vim nvim view emacs emacsclient crontab at batch sqlite3 duckdb m4 bc dc fish "
    "pwsh nu xonsh elvish entr inotifywait-run socat ncat tmux screen dialog npx npm pipx uvx gem xterm rlwrap "
    "cpan cpanm start-stop-daemon qemu-system-x86_64 strings-eval tclsh8.6 busctl gdbus dbus-send".split()
) | {"pip", "pip3"}
# Programs that start another: their flags without a value, and how many operands stand before the program.
_WRAPPERS: Final = {
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
    "apptainer": ("", 2), "singularity": ("", 2), "ip": ("", 3), "scl": ("", 1), "java": ("", 0), "dotnet": ("", 0),
}  # fmt: skip
_CONTAINERS: Final = frozenset({"docker", "podman", "nerdctl", "kubectl", "oc", "crictl", "ctr", "lxc", "machinectl"})
_JOINING: Final = {"sudo": "is", "flock": "c", "env": "S", "runuser": "c"}  # options that hand the words to a shell
_JOINING_LONG: Final = re.compile(r"--(shell|login|command|split-string|session-command)(=.*)?", re.DOTALL)
# Programs that start nothing from their words, so that `bash -c` among these is text.
_DATA: Final = frozenset(
    "echo printf logger grep egrep fgrep zgrep rm rmdir mv cp ln ls cat tee kill killall pkill pgrep systemctl service "
    "journalctl scontrol squeue scancel sacct sacctmgr sinfo nvidia-smi touch mkdir chmod chown chgrp test [ mail wall "
    "write head tail wc stat df du ps lsof fuser truncate date true false dmesg id getent sha256sum md5sum".split()
)
_LONG_CODE: Final = re.compile(
    r"--(command|cmd|eval|exec|execute|expression|split-string|run|rsh|rsync-path|to-command|checkpoint-action|wrap"
    r"|use-compress-program|compress-program|init-command|upload-pack|receive-pack|(task-)?(pro|epi)log|use-askpass)"
)
_INTERPRETED: Final = re.compile(r"--(source|file|require|import|loader|experimental-loader|print|from-file|include)")
_PLAIN_LONG: Final = re.compile(
    r"--(no-?\w[\w-]*|login|posix|restricted|verbose|quiet|silent|regexp-extended|in-place|debug|separate|unbuffered"
    r"|null-data|zero-terminated|follow-symlinks|sandbox|raw-output|compact-output|slurp|null-input|raw-input|join-output"
    r"|exit-status|sort-keys|tab|seq|stream|ascii-output|re-interval|lint|csv|traditional|harmony)"
)
_SHORT_CODE: Final = {
    "tar": "IF", "rsync": "e", "git": "c", "scp": "oSF", "sftp": "oSFDb", "tcpdump": "z", "wget": "e", "curl": "K",
    "psql": "cf", "mysql": "e", "mariadb": "e", "man": "PH", "zip": "T", "clickhouse-client": "q", "split": "",
}  # fmt: skip
_RUNNING_MODULES: Final = re.compile(
    r"(timeit|pdb|trace|c?[pP]rofile|runpy|code|asyncio|pip|coverage|debugpy|IPython|doctest|unittest|pytest|ensurepip"
    r"|torch\.distributed\.(run|launch)|accelerate\..*)(\..*)?"
)
_FIND_VALUES: Final = re.compile(
    r"-(i?name|i?path|i?wholename|user|group|uid|gid|newer..|newer|anewer|cnewer|[acm](time|min)|size|perm|links|inum"
    r"|type|maxdepth|mindepth|lname|ilname|samefile|fstype|used)"
)
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=.*", re.DOTALL)
_LOADING: Final = re.compile(
    r"LD_\w+|DYLD_\w+|(BASH_)?ENV|PATH|IFS|SHELL(OPTS)?|BASHOPTS|PS4|PROMPT_COMMAND|BASH_FUNC_.*|PYTHON\w+|PERL5?\w*"
    r"|RUBY(OPT|LIB)|NODE_(OPTIONS|PATH)|GIT_\w+|EDITOR|VISUAL|PAGER|LESS(OPEN|CLOSE)|(GNU)?MAKEFLAGS|MFLAGS|MAKEFILES"
    r"|_?JAVA_(TOOL_)?OPTIONS|JDK_JAVA_OPTIONS|CLASSPATH|LUA_\w+|PHPRC|PHP_INI_SCAN_DIR|AWK(LIB)?PATH|RSYNC_RSH"
    r"|CVS_RSH|TAR_OPTIONS|GCONV_PATH|BROWSER|OPENSSL_(CONF|ENGINES|MODULES)|ZDOTDIR|SUDO_ASKPASS|SSH_ASKPASS"
)


def read(before: Sequence[str], prefix: str = "") -> Reading:
    """Tell how the word behind others would be read.

    Args:
        before: the words before it; one that is not known yet is any text.
        prefix: what the runbook itself wrote at the word's beginning, before any host text.
    """
    found = _command(before, 0, prefix)
    if found.peril or _name(before[found.program]) in _DATA:
        return found
    for place in range(1, len(before)):  # a program that we don't know may start another
        if place != found.program and (by := _hidden(before, place, prefix)):
            return found._replace(peril=f"would be code for {by}")
    return found


def reads_code(words: Sequence[str]) -> bool:
    """Tell whether a command may take what it reads for code, or for the words of one."""
    if words and _name(words[0]) in _DATA:
        return False
    for word in words:
        name = _name(word)
        kind = _kind(name)
        if name in _WHOLE or name in {"xargs", "psql", "mysql", "mariadb"} or _SHELLS.fullmatch(name):
            return True
        if kind in {"sed", "awk", "jq"}:
            if any(each.startswith(("-f", "--f")) for each in words):
                return True
        elif kind:
            return True
    return False


def loads_code(variable: str) -> bool:
    """Tell whether programs take code, or where to look for it, from an environment variable."""
    return _LOADING.fullmatch(variable) is not None


def _name(word: str) -> str:
    return os.path.basename(word)  # noqa: PTH119 -- text, not looked up


def _kind(name: str) -> str | None:
    match = _NAMES.fullmatch(name)
    return match.lastgroup if match is not None else None


def _command(words: Sequence[str], at: int, prefix: str) -> Reading:
    if at >= len(words):
        return Reading(at, "can't name the program")
    name, args = _name(words[at]), words[at + 1 :]
    kind = "shell" if _SHELLS.fullmatch(name) else _kind(name)
    if name in _WHOLE or name.startswith(("pip3.", "vim.")):
        return Reading(at, f"would be code for {name}")
    if name in _WRAPPERS:
        return _wrapped(words, at, prefix)
    if name in _CONTAINERS:
        return _contained(words, at, prefix)
    if name == "find":
        return _found(words, at, prefix)
    if kind is not None:
        return _interpreted(kind, name, args, at, prefix)
    short = _SHORT_CODE.get(name, "")
    last = args[-1] if args else ""
    for option in (last, prefix):
        letters = option[1:] if option.startswith("-") and not option.startswith("--") else ""
        if _LONG_CODE.fullmatch(option.rstrip("=")) or (letters and not short.isdisjoint(letters)
                                                       if isinstance(short, frozenset) else
                                                       any(letter in short for letter in letters)):
            return Reading(at, f"would be code for {name}")
    return Reading(at)

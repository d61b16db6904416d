"""How a job was sent, as far as Slurm kept it, so that the very same can be sent again."""

import os
import re
import stat
import subprocess
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from runbook.modules.declare import Failed, Refused
from runbook.modules.host import Host
from runbook.modules.slurm import owner, units
from runbook.modules.slurm.job import Job
from runbook.modules.slurm.owner import Owner
from runbook.modules.slurm.queue import TIME

_WRAPPED = re.compile(r"#!/bin/sh\n# This script was created by sbatch --wrap\.\n\n(.*)\n?", re.DOTALL)
_DIRECTIVE = re.compile(r"^#SBATCH\s+(.*)", re.MULTILINE)
_SCRIPT = 64 << 20  # characters of a script; Slurm itself takes 4 MiB
_RULE = re.compile(r"-{20,}")
_VARIABLE = re.compile(r"([A-Za-z_][\w%.()-]*)=(.*)", re.DOTALL)
_SPENT = {  # options that were of one sending, or that we write anew
    *("--parsable", "--wait", "-W", "--hold", "-H", "--test-only", "--begin", "-b", "--dependency", "-d"),
    *("--array", "-a", "--comment", "--uid", "--gid", "--mem", "--mem-per-cpu", "--mem-per-gpu", "--time", "-t"),
    *("--chdir", "-D", "--workdir", "--job-name", "-J", "--exclude", "-x"),
}
_ANEW = {  # the same as variables; others, such as SBATCH_CONSTRAINT, are the job's
    *("SBATCH_ARRAY_INX", "SBATCH_MEM_PER_CPU", "SBATCH_MEM_PER_GPU", "SBATCH_MEM_PER_NODE", "SBATCH_TIMELIMIT"),
    *(
        "SBATCH_WAIT",
        "SBATCH_DEPENDENCY",
        "SBATCH_JOB_NAME",
        "SBATCH_COMMENT",
        "SBATCH_GET_USER_ENV",
        "SBATCH_CLUSTERS",
    ),
}
_FLAGS = {"--parsable", "--wait", "-W", "--hold", "-H", "--test-only"}


class Submission(NamedTuple):
    """What `sbatch` was told, without what the new job gets of its own."""

    options: Tuple[str, ...]  # as words of sbatch's command line
    script: str  # its text
    path: str  # where it was, empty where nobody knows
    args: Tuple[str, ...]
    directory: str
    array: bool
    per: str  # what memory was asked for by: mem, mem-per-cpu or mem-per-gpu
    exclude: str  # nodes that people excluded
    whole: bool  # all the memory of its nodes was asked for: --mem=0
    qos: str  # its quality of service
    owner: Owner
    env: Optional[Mapping[str, str]]  # None where it is not kept
    record: Mapping[str, str]  # of `scontrol show job`; empty once the controller has forgotten it


def found(host: Host, job: Job, script: Optional[str]) -> Submission:
    """Return how a job was sent.

    Raises:
        Failed: its script is kept nowhere.
        Refused: it was no batch job, or its command line can't be told apart.
    """
    record = _record(host, job)
    whose = owner.of(host, job.id)
    text = _script(host, job, record, whose) if script is None else _file(script)
    line = _answer(
        host, "sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={job.id}", "--format=SubmitLine"
    )
    directory = record.get("WorkDir") or _answer(
        host, "sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={job.id}", "--format=WorkDir"
    )
    if record.get("BatchFlag") == "0":
        raise Refused(f"job {job.id} is no batch job: whoever ran srun or salloc must send it again")
    command = record.get("Command", "")
    options, path, args = split(line, text, command, job.name, directory)
    qos = record.get("QOS") or _answer(
        host, "sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={job.id}", "--format=QOS"
    )
    directives = [word for told in _DIRECTIVE.findall(text) for word in told.split("#")[0].split()]
    return Submission(
        options=tuple(kept(options)),
        script=text,
        path=os.path.join(directory, path) if path else "",
        args=tuple(args),
        directory=directory,
        array="_" in job.id,
        per=_per([*options, *directives]),
        exclude=_value(options, "--exclude", "-x") or _value(directives, "--exclude", "-x"),
        whole=(_value(options, "--mem") or _value(directives, "--mem")) == "0",
        qos=units.text(qos),
        owner=whose,
        env=_environment(host, job),
        record=record,
    )


def split(line: str, script: str, command: str, name: str, directory: str) -> "Tuple[List[str], str, List[str]]":
    """Return (options, the script's path, its arguments) of a command line whose words Slurm joined by blanks.

    Example:
        >>> split("sbatch --comment=my tag -n 4 run.sh a b", "", "/home/me/run.sh a b", "run.sh", "/home/me")
        (['--comment=my tag', '-n', '4'], 'run.sh', ['a', 'b'])
    """
    words = line.strip()
    wrapped = _WRAPPED.fullmatch(script)
    if wrapped is not None:
        text = wrapped[1].rstrip("\n")
        for said in (f"--wrap={text}", f"--wrap {text}"):
            if said in words:
                return _options(words.replace(said, " ", 1).split()[1:]), "", []
    tokens = words.split(" ")[1:] if words else []
    if words and os.path.basename(words.split(" ")[0]) not in {"sbatch", "runbook"}:
        raise Refused(f"it was sent by `{words.split(' ')[0]}`, and only batch jobs can be sent again")
    place = _script_at(tokens, command, name, directory)
    if place is None:
        if any(not token.startswith("-") and _stands_alone(tokens, number) for number, token in enumerate(tokens)):
            raise Refused(f"what of `{words[:200]}` is its script nobody can tell: write `script`")
        return _options(tokens), "", []
    end = _script_to(tokens, place, script, name, directory)
    return _options(tokens[:place]), " ".join(tokens[place:end]), tokens[end:]


def _script_at(tokens: Sequence[str], command: str, name: str, directory: str) -> Optional[int]:
    wanted = command.split(" ", maxsplit=1)[0] if command not in {"", "(null)"} else ""
    for number, token in enumerate(tokens):
        if token.startswith("-") or not token:
            continue
        whole = os.path.normpath(os.path.join(directory or "/", token))
        if wanted and (whole == os.path.normpath(wanted) or token == wanted):
            return number
        if not wanted and _stands_alone(tokens, number) and _named(tokens[number:], name):
            return number
    return None


def _named(tokens: Sequence[str], name: str) -> bool:
    """Tell whether a path that begins here, and may have blanks, ends in a name."""
    return any(os.path.basename(" ".join(tokens[:end])) == name for end in range(1, name.count(" ") + 2))


def _script_to(tokens: Sequence[str], place: int, script: str, name: str, directory: str) -> int:
    """Return where a path ends that may have blanks: where it has the job's name, or is the file that was sent."""
    for end in range(place + 1, len(tokens) + 1):
        path = os.path.join(directory, " ".join(tokens[place:end]))
        if os.path.basename(path) == name or (script and plain(path) == script):
            return end
    return place + 1


def _stands_alone(tokens: Sequence[str], number: int) -> bool:
    """Tell whether a word is no option's value: none stands before it, or one that has its value already."""
    before = tokens[number - 1] if number else ""
    return not before.startswith("-") or "=" in before or before in _FLAGS or (len(before) > 2 and before[1] != "-")


def _options(tokens: Sequence[str]) -> List[str]:
    """Return options whose values have their blanks back."""
    words: List[str] = []
    for token in tokens:
        if token.startswith("-") or not words:
            words.append(token)
        elif "=" in words[-1] or not words[-1].startswith("-"):
            words[-1] += f" {token}"
        else:
            words.append(token)
    return words


def kept(options: Sequence[str]) -> List[str]:
    """Return options without those of one sending; a dependency on the name (singleton) stays."""
    left: List[str] = []
    number = 0
    while number < len(options):
        name, equals, value = options[number].partition("=")
        short = name if name.startswith("--") else name[:2]
        attached = bool(equals) or (not name.startswith("--") and len(name) > 2)
        takes = 1 if attached or number + 1 >= len(options) or options[number + 1].startswith("-") else 2
        given = value or (name[2:] if attached else options[number + 1] if takes == 2 else "")
        if short not in _SPENT or (short in {"--dependency", "-d"} and given == "singleton"):
            left += options[number : number + takes]
        number += takes
    return left


def _value(words: Sequence[str], long: str, short: str = "") -> str:
    for number, word in enumerate(words):
        if word.startswith(f"{long}="):
            return word.partition("=")[2]
        if word in {long, short} and number + 1 < len(words):
            return words[number + 1]
    return ""


def _per(words: Sequence[str]) -> str:
    for kind in ("mem-per-cpu", "mem-per-gpu"):
        if any(word.partition("=")[0] == f"--{kind}" for word in words):
            return kind
    return "mem"


def has(options: Sequence[str], script: str, long: str, short: str) -> bool:
    """Tell whether an option was given, on the command line or in the script."""
    words = [*options, *(word for told in _DIRECTIVE.findall(script) for word in told.split())]
    return any(
        word.partition("=")[0] == long or word == short or (word[:2] == short and word[:2] != "--") for word in words
    )


_FIELD = re.compile(r"(?:^|\s)([A-Z][\w:/.-]*)=(.*?)(?=\s[A-Z][\w:/.-]*=|\s*$)")


def _record(host: Host, job: Job) -> Dict[str, str]:
    """Return what the controller still knows of it."""
    done = host.run("scontrol", "--oneliner", "show", "job", job.id, timeout=TIME)
    return {} if done.exit_code else dict(_FIELD.findall(done.stdout.strip()))


def _script(host: Host, job: Job, record: Mapping[str, str], whose: Owner) -> str:
    done = host.run("sacct", "--batch-script", f"--jobs={job.id}", timeout=TIME)
    head, rule, text = done.stdout.partition("\n")
    first, _, rest = text.partition("\n")
    if (
        not done.exit_code
        and rule
        and _RULE.fullmatch(first.strip())
        and rest.startswith("#!")
        and "Batch Script" in head
    ):
        return rest[:-1] if rest.endswith("\n\n") else rest
    done = host.run("scontrol", "write", "batch_script", job.id, "-", timeout=TIME)
    if not done.exit_code and done.stdout.startswith("#!"):
        return done.stdout
    path = record.get("Command", "").split(" ")[0]
    if path.startswith("/"):
        return _theirs(host, whose, path)
    raise Failed(
        f"the script of job {job.id} is kept nowhere: name it with `script`, or let Slurm keep scripts "
        "(AccountingStoreFlags=job_script in slurm.conf)"
    )


def _theirs(host: Host, whose: Owner, path: str) -> str:
    """Return a file that is read as its user: what they may not read does not become their job."""
    try:
        code, out, err = owner.run(host, whose, ("/bin/cat", path), {}, TIME)
        if code:
            raise Failed(f"the job's script {path} can't be read: {err.strip()[:200]}")
        return out.decode("utf-8")
    except (OSError, UnicodeDecodeError, subprocess.TimeoutExpired) as error:
        raise Failed(f"the job's script {path} can't be read: {error}") from error


def _file(path: str) -> str:
    text = plain(path)
    if text is None:
        raise Failed(f"the job's script {path} can't be read as a plain text file")
    return text


def plain(path: str) -> Optional[str]:
    """Return the text of a plain file: a pipe would wait for ever; None where there is none to be had."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY), encoding="utf-8") as file:
            return file.read(_SCRIPT) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
    except (OSError, UnicodeDecodeError):
        return None


def _environment(host: Host, job: Job) -> Optional[Mapping[str, str]]:
    """Return the environment that it was sent with, where the accounting keeps that (job_env)."""
    done = host.run("sacct", "--env-vars", f"--jobs={job.id}", timeout=TIME)
    if done.exit_code:
        return None
    lines = done.stdout.split("\n")
    rule = next((number for number, line in enumerate(lines) if _RULE.fullmatch(line.strip())), None)
    found: Dict[str, str] = {}
    last = ""
    for line in [] if rule is None else lines[rule + 1 :]:
        named = _VARIABLE.fullmatch(line)
        if named is not None:
            last = named[1]
            found[last] = named[2]
        elif last and line:
            found[last] += f"\n{line}"
    ours = {name: value for name, value in found.items() if not name.startswith("SLURM") and name not in _ANEW}
    return ours if "PATH" in ours or "HOME" in ours else None


def _answer(host: Host, *argv: str) -> str:
    done = host.run(*argv, timeout=TIME)
    return "" if done.exit_code else units.text(done.stdout.rstrip("\n"))

"""Which word of a command would be code: judged by what stands before it, without any value of its own.

Where a program is an interpreter, or starts another, and it is not clear that a word is data, it counts as code. What
is filled in asks this (`words.py`), and so does lint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runbook.engine.language import programs

if TYPE_CHECKING:
    from collections.abc import Sequence


class Reading(NamedTuple):
    """How a word of a command would be read."""

    program: int  # the place of the program that gets it, behind `timeout`, `sudo` and their like
    peril: str = ""  # why no host text may stand there; empty = it is data
    free: bool = False  # it is an argument of code that stands in the runbook, and no option

    def ended(self, before: Sequence[str]) -> bool:
        """Tell whether a dash at the word's beginning makes no option of it."""
        return self.free or "--" in before[self.program + 1 :]


class _Place(NamedTuple):
    verdict: str  # "data", "code", or "script": before the name of the file to run
    free: bool = False


def read(before: Sequence[str], prefix: str = "") -> Reading:
    """Tell how a word would be read.

    Args:
        before: the words before it; one that is not known yet is any text.
        prefix: what the runbook itself wrote at the word's beginning, before any host text.
    """
    found = _command(before, 0, prefix)
    if found.peril or (found.program < len(before) and programs.name(before[found.program]) in programs.DATA):
        return found
    for place in range(1, len(before)):  # a program that nobody knows may start another
        if place != found.program and _hidden(before, place, prefix):
            return found._replace(peril=f"would be code for {programs.name(before[place])}")
    return found


def _command(words: Sequence[str], at: int, prefix: str) -> Reading:
    if at >= len(words):
        return Reading(at, "can't name the program")
    name = programs.name(words[at])
    starting = programs.STARTING.get(name)
    if name in programs.WHOLE:
        return Reading(at, f"would be code for {name}")
    if name in programs.CONTAINERS:
        return _contained(words, at, prefix)
    if name in programs.WRAPPERS and (starting is None or not set(starting).isdisjoint(words[at:])):
        return _wrapped(words, at, prefix)
    if name == "find":
        return _found(words, at, prefix)
    kind = programs.kind(name)
    if kind is not None:
        place = _interpreted(kind, words[at + 1 :], prefix)
        peril = "" if place.verdict == "data" else f"would be {place.verdict} for {name}".replace("script", "code")
        return Reading(at, peril, place.free)
    if _behind_code(name, words[-1] if len(words) > at + 1 else "", prefix):
        return Reading(at, f"would be code for {name}")
    return Reading(at)


def _behind_code(name: str, last: str, prefix: str) -> bool:
    """Tell whether the word before it, or its own beginning, is an option whose value is code."""
    stem, equals, _ = prefix.partition("=")
    if programs.LONG_CODE.fullmatch(last) or (equals and programs.LONG_CODE.fullmatch(stem)):
        return True
    letters = programs.SHORT_CODE.get(name, "")
    own = prefix[1:] if prefix[:1] == "-" != prefix[1:2] else ""
    return (last[:1] == "-" != last[1:2] and last[-1] in letters) or any(letter in letters for letter in own)


def _wrapped(words: Sequence[str], at: int, prefix: str) -> Reading:
    """A program that starts another: the word is data only where it is clear which."""
    name = programs.name(words[at])
    flags, operands = programs.WRAPPERS[name]
    program, doubtful, waits, missing = _started(words, at, flags, operands)
    before = words[at + 1 : program]
    joins = programs.JOINING.get(name, "")
    if joins and (any(_is_joining(word, joins) for word in before) or _is_joining(prefix, joins)):
        return Reading(at, f"would be code for {name}")
    if name == "runuser" and not any(word.startswith(("-u", "--user")) for word in before):
        return Reading(at, f"would be code for {name}")
    for place in doubtful:
        other = _command(words, place, prefix) if _is_known(words[place]) else None
        if other is not None and other.peril:
            return other
    if program is not None:
        return _command(words, program, prefix)
    assigned = programs.ASSIGNMENT.fullmatch(prefix)
    if (
        assigned
        and not waits
        and not missing
        and name in {"env", "sudo", "doas"}
        and not programs.loads_code(assigned[1])
    ):
        return Reading(at)
    return Reading(at, f"can't name the program that {name} starts")


def _started(words: Sequence[str], at: int, flags: str, operands: int) -> tuple[int | None, list[int], bool, int]:
    """Return the place of the program that another starts, the words before it; if an option waits; what is missing."""
    waits = ended = False
    doubtful: list[int] = []
    for place in range(at + 1, len(words)):
        word = words[place]
        if not ended and word == "--":
            ended, waits = True, False
        elif not ended and len(word) > 1 and word[0] == "-":
            waits = _takes_value(word, flags)
        elif waits or operands:
            operands -= not waits
            waits = False
            doubtful.append(place)
        elif not programs.ASSIGNMENT.fullmatch(word):
            return place, doubtful, False, 0
    return None, doubtful, waits, operands


def _takes_value(option: str, flags: str) -> bool:
    if option.startswith("--"):
        return "=" not in option and not programs.PLAIN_LONG.fullmatch(option)
    rest = option[1:].lstrip(flags)
    return len(rest) == 1  # of more letters, the rest is the value


def _is_joining(word: str, letters: str) -> bool:
    if programs.JOINING_LONG.fullmatch(word):
        return True
    return word[:1] == "-" != word[1:2] and any(letter in word for letter in letters)


def _is_known(word: str) -> bool:
    name = programs.name(word)
    known = (programs.WHOLE, programs.WRAPPERS, programs.CONTAINERS)
    return any(name in table for table in known) or programs.kind(name) is not None or name == "find"


def _contained(words: Sequence[str], at: int, prefix: str) -> Reading:
    """`docker exec NAME PROGRAM …`: the container may be named, the image and the program may not."""
    name = programs.name(words[at])
    start = next((place for place in range(at + 1, len(words)) if words[place] in {"exec", "run", "shell"}), None)
    if start is None:
        return Reading(at)
    if name in {"kubectl", "oc", "lxc"} and "--" in words[start:]:
        return _command(words, words.index("--", start) + 1, prefix)
    program, doubtful, waits, missing = _started(words, start, "itdTPq", 1)
    for place in doubtful:
        other = _command(words, place, prefix) if _is_known(words[place]) else None
        if other is not None and other.peril:
            return other
    if program is not None:
        return _command(words, program, prefix)
    named = words[start] == "exec" and missing and not waits
    assigned = programs.ASSIGNMENT.fullmatch(prefix)
    if named or (words[-1] in {"-e", "--env"} and assigned and not programs.loads_code(assigned[1])):
        return Reading(at)
    return Reading(at, f"can't name the program that {name} starts")


def _found(words: Sequence[str], at: int, prefix: str) -> Reading:
    """`find`: the value of a test such as -name is data, a path with a beginning too."""
    for place in range(len(words) - 1, at, -1):
        if words[place] in {";", "+"}:
            break
        if words[place] in {"-exec", "-execdir", "-ok", "-okdir"}:
            return _command(words, place + 1, prefix)
    tested = len(words) > at + 1 and programs.FIND_VALUES.fullmatch(words[-1])
    return Reading(at, "" if tested or prefix[:1] in {"/", "."} else "would be code for find", free=bool(tested))


def _hidden(words: Sequence[str], place: int, prefix: str) -> bool:
    """Tell whether a word would be code for an interpreter that stands somewhere among the arguments."""
    name = programs.name(words[place])
    if name == "ssh":
        return True
    if name in {"su", "runuser", "script", "flock"}:
        return words[-1] in {"-c", "--command"} or prefix.startswith(("-c", "--command="))
    kind = programs.kind(name)
    return kind is not None and _interpreted(kind, words[place + 1 :], prefix).verdict == "code"


def _interpreted(kind: str, args: Sequence[str], prefix: str) -> _Place:
    """Find the code among an interpreter's words: what stands behind it is data."""
    options = programs.INTERPRETERS[kind]
    coded = joined = False  # code came with an option; the first operand is code
    place, waiting, magic = 0, 0, False
    operand: int | None = None
    while place < len(args):
        word = args[place]
        place += 1
        if waiting and (coded or word[:1] != "-"):
            waiting -= 1
            continue
        waiting = 0
        if word == "--" or (word == "-" and kind == "shell"):
            operand = place if place < len(args) else None
            if coded:
                return _Place("code" if magic else "data", free=True)
            break
        if len(word) > 1 and (word[0] == "-" or (word[0] == "+" and kind == "shell")):
            has_code, waiting, ends = _option(options, kind, word)
            coded = coded or has_code
            joined = joined or (kind == "shell" and word[0] == "-" != word[1] and "c" in word)
            magic = magic or (kind == "perl" and word[1] != "-" and not set("np").isdisjoint(word))
            if ends and place + waiting <= len(args):
                module = args[place] if waiting else word.partition("m")[2]
                harmless = ends == "c" or not programs.RUNNING_MODULES.fullmatch(module)
                return _Place("data" if harmless else "code", free=ends == "c")
            continue
        operand = place - 1
        break
    if magic:
        return _Place("code")  # perl opens what -n and -p name, and `|` at its end makes it a command
    if options.permutes and not _is_data_of(kind, args, prefix):
        last = _option(options, kind, args[-1]) if args and args[-1][:1] == "-" else (False, 0, "")
        if (last[0] and last[1]) or (prefix[:1] == "-" and _option(options, kind, prefix)[0]):
            return _Place("code")
    if operand is not None:
        return _Place("data", free=joined or (coded and not options.permutes))
    if _is_data_of(kind, args, prefix):
        return _Place("data", free=True)
    if coded and not waiting and not prefix.startswith("-"):
        return _Place("data")
    return _Place("code" if coded or joined or kind in {"awk", "sed", "jq"} else "script")


def _is_data_of(kind: str, args: Sequence[str], prefix: str) -> bool:
    """Tell whether a word is the value of a variable for awk or jq."""
    if kind == "awk":
        return args[-1:] == ["-v"] and programs.ASSIGNMENT.fullmatch(prefix) is not None
    return kind == "jq" and len(args) > 1 and args[-2] in {"--arg", "--argjson"}


def _option(options: programs.Options, kind: str, word: str) -> tuple[bool, int, str]:
    """Return whether an option brings code, how many words behind it are its own, and if it ends all options."""
    if word.startswith("--"):
        stem, equals, _ = word.partition("=")
        if programs.LONG_CODE.fullmatch(stem) or programs.INTERPRETED.fullmatch(stem):
            return True, int(not equals), ""
        if kind == "jq" and stem in {"--arg", "--argjson", "--slurpfile", "--rawfile"}:
            return False, 2, ""
        return False, int(not equals and not programs.PLAIN_LONG.fullmatch(stem)), ""
    for place, letter in enumerate(word[1:], 2):
        own = int(len(word) == place)
        if letter in options.code or letter in options.ends:
            return letter in options.code, own, letter if letter in options.ends else ""
        if letter in options.values:
            return False, 1 if kind == "shell" else own, ""
        if letter in options.attached:
            break
    return False, 0, ""

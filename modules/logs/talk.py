"""What lines only speak of: prompts and answers of a chat, commands that look for an error, source code of tracebacks.

Logs of model servers hold what their users ask, and `ps`, sudo and cron what people look for. What a program says
itself may be quoted, too (`msg="CUDA out of memory"`), so a quotation counts as speech only behind a word for it.
"""

import re

MOST = 4096  # characters before a match that are looked at
_MARKS = (
    *(b'"role"', b"'role'", b"rompt", b"uestion", b"query", b"user", b"User", b"ssistant", b"uman"),
    *(b"COMMAND=", b"CMD (", b"grep ", b"rg ", b"awk ", b"sed ", b"echo ", b" -c ", b"+ "),
    *(b'"""', b"'''", b"attern", b"regex"),
    *(b'("', b"('", b'(f"', b"(f'", b"(KERN_", b'return "', b'else "', b' = "', b"match=", b"  # "),
)
_TURN = re.compile(
    r"""["']role\\?["']\s*:\s*\\?["'](?:(?:user|assistant|human)\b|(?:system|tool|developer)\b.*content\\?["']\s*:)"""
)
_SPEAKER = re.compile(
    r"[\W\d_TZ]*(?:(?:INFO|DEBUG)\W+(?:[\w.-]+(?:\[\d+\])?\W+)?)?"
    r"(?:<\|?(?:im_start\|>)?(?:user|assistant|human)\|?>|"
    r"(?:(?:the )?[Uu]ser|[Aa]ssistant|[Hh]uman)(?: (?:said|says|wrote|asked|prompt|message))?\s*[:>](?:\s|$))"
)
_COMMAND = re.compile(
    r"\bCOMMAND=|\bCMD \(|(?:^|[\s/(])(?:[efz]?grep|rg|ag|awk|sed|echo|printf|(?:ba|da|z)?sh -l?c) (?=.*\S)|"
    r"^\s*\+{1,3} \w"
)
_DOCSTRING = re.compile(
    r"\s*(?:[rbfu]{0,2}(?:\"\"\"|''')|"
    r"[*-] (?:[Ff]ix|[Hh]andle|[Aa]dd|[Aa]void|[Cc]atch|[Rr]evert|[Dd]ocument))"
)
_COMMENT = re.compile(  # a JVM's report begins with `#`, too
    r"\s{0,80}(?:#|//)(?:$| )(?!A fatal|An error|There is|Native|Out of)|.{0,400}[\w)\]}:,]  # "
)
_CALL = re.compile(  # what stands before a text of source code; an exception's name, which logs hold, has a capital
    r"(?:^|[\s=(,>!])(?:(?:raise|return|throw|new) [\w.:]{1,80}|(?:\w{1,40}\.){0,6}_?[a-z]\w{0,60})"
    r"\((?:[A-Z_]{2,24},? )?[frbuFRBU]{0,2}$|"
    r"^\s{0,80}(?:else|return|[A-Z_]{3,40} =)\s[\[(]?[frbuFRBU]{0,2}$|[(,]\s?match=[frbuFRBU]{0,2}$"
)
_RAISED = re.compile(r"(?:^|[\s\]:>|])(?:raise|throw new)(?: [\w.:]{0,120})?$")
_CALLED = 160  # characters before a quotation that are looked at
_OPENED = re.compile(
    r"""(?:\b(?:prompt|question|query|input_text|user_message|user_input|regex|pattern|--[\w-]*(?:pattern|prompt|regex|match))"""
    r"""(?:s|_\w+)?\\?["']?\s*[:=\s]\s*\[?)(\\?["'`])"""
)


def may_speak(line: bytes) -> bool:
    """Tell whether a line may speak of something, cheaply."""
    for mark in _MARKS:  # twice as fast as `any`
        if mark in line:
            return True
    return line.startswith((b"* ", b"- ")) or line.lstrip().startswith((b"# ", b"// "))


def speaks(line: str, at: int) -> bool:
    """Tell whether what stands at a place in a line is only spoken of.

    Example:
        >>> speaks('Received request 7: prompt: "what is a CUDA out of memory"', 40)
        True
        >>> speaks('request 7 failed: CUDA out of memory; prompt: "hello"', 18)
        False
    """
    before = line[max(0, at - MOST) : at]
    if _TURN.search(before) or _DOCSTRING.match(before) or _SPEAKER.match(before) or _COMMENT.match(before):
        return True
    if _RAISED.search(before, max(0, len(before) - _CALLED)) or any(
        _is_source(before, before.rfind(quote)) for quote in "\"'"
    ):
        return True
    command = _COMMAND.search(before)
    if command is not None and not _ended(before, command.end()):
        return True
    return any(_open(before, found) for found in _OPENED.finditer(before))


def _is_source(before: str, quote: int) -> bool:
    """Tell whether a quotation that is open is a text in source code, as a traceback quotes it."""
    return quote >= 0 and _CALL.search(before, max(0, quote - _CALLED), quote) is not None


def _ended(before: str, begin: int) -> bool:
    """Tell whether a command's own words are over: what it wrote stands behind them."""
    said = before[begin:]
    return any(mark in said for mark in ("': ", '": ', "): ", " -> ", " failed", " exited", " died", " returned"))


def _open(before: str, found: "re.Match[str]") -> bool:
    """Tell whether a quotation is not closed yet."""
    quote = found[1]
    at = found.end()
    while True:
        at = before.find(quote, at)
        if at < 0:
            return True
        if len(quote) > 1 or before[at - 1] != "\\":
            following = before[at + len(quote) : at + len(quote) + 1]
            if quote[-1] != "'" or not following.isalnum():  # what is no apostrophe
                return False
        at += len(quote)

"""Wrapped lines that are taken apart together come to the same as those that are taken one by one."""

import json
import random

import pytest

from runbook.modules.logs import unwrapping, wrapping
from runbook.modules.logs.bulk import said_in_bulk
from runbook.modules.logs.cleaning import cleaned, said
from runbook.modules.logs.pieces import together
from runbook.modules.logs.unwrapping import unwrapped

TEXTS = (
    *(
        "CUDA out of memory",
        'File "/opt/a.py", line 8, in <module>',
        "a\tb\\n\\\\c\\",
        "C:\\temp\\new\\u0041",
        '"',
        "\\",
    ),
    *(
        "\x1b[31mred\x1b[0m",
        "naïve café 模型 😀",
        "x\ry",
        "\r",
        "two\nlines\r\nof\n\nit",
        "",
        " ",
        "end\r",
        '}{"}',
        '\\"}',
    ),
    *("<b> & </b>", "\x00\x01nul", '{"log":"x","stream":"y"}', "2026-11-22T02:41:11Z stdout F x", "\u2028", "a\x85b"),
)


def go(text):
    """Write a string as docker does."""
    written = json.dumps(text, ensure_ascii=False)
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def docker(text, stamp, dump=go, attrs=""):
    return f'{{"log":{dump(text)}{attrs},"stream":"stderr","time":"{stamp}"}}'


def labelled(text, stamp):
    return f'{{"log":{go(text)},"stream":"stdout","attrs":{{"tag":"vllm"}},"time":"{stamp}"}}'


def kubernetes(text, stamp):
    tag = "F" if text.endswith("\n") else "P"
    return f"{stamp} stdout {tag} {text}".replace("\r\n", "\r").rstrip("\n").replace("\n", " ")


def journal(text, stamp):
    second = int(stamp[17:19])
    fields = {"_COMM": "x", "MESSAGE": text.rstrip("\n"), "__REALTIME_TIMESTAMP": str(1_795_315_200_000_000 + second)}
    return json.dumps({**fields, "_CMDLINE": 'x "MESSAGE": "y"'}, ensure_ascii=bool(second % 2), separators=(",", ":"))


def plain(text, _stamp):
    return "INFO " + text.replace("\n", " ")


KINDS = {
    "docker": docker,
    "docker of python": lambda text, stamp: docker(text, stamp, json.dumps),
    "docker with labels": labelled,
    "kubernetes": kubernetes,
    "journal": journal,
}
SPOILT = (
    lambda line: line[: len(line) // 2],
    lambda line: line + "\r",
    lambda line: line.replace('"', "'", 1),
    lambda line: line.replace("\\", "", 1),
    lambda line: line.replace("n", "\x07", 1),
    lambda line: line.replace(":", ": "),
    lambda line: line.replace(" F ", " P "),
    lambda line: line.replace("\\n", "\\u000a"),
    lambda line: f" {line}",
    lambda line: "",
)


def lines_of(wrap, dice, number):
    for place in range(number):
        text = " ".join(dice.choice(TEXTS) for _ in range(dice.randrange(1, 3)))
        yield wrap(f"{text}\n", f"2026-11-22T02:41:{place % 60:02d}.{dice.randrange(10**9):09d}Z")


def json_or_none(line):
    try:
        return json.loads(line, strict=False)
    except ValueError:
        return None


def one_by_one(block):
    text = said(together(block)[0])
    return text.data, list(text.stamps)


@pytest.mark.parametrize("wrap", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("seed", range(10))
def test_what_is_usual_is_taken_apart_together_and_comes_to_the_same(wrap, seed):
    dice = random.Random(seed)
    texts = [text for text in TEXTS if "\n" not in text and text.strip()] if wrap is kubernetes else TEXTS
    lines = [wrap(f"{dice.choice(texts) or 'x'}\n", f"2026-11-22T02:41:{place:02d}Z") for place in range(40)]
    if wrap is journal:
        lines = [line for line in lines if '"MESSAGE":""' not in line]
    block = "".join(f"{line}\n" for line in lines).encode()
    found = said_in_bulk(block)
    assert found is not None
    assert (found.data, list(found.stamps)) == one_by_one(block)


@pytest.mark.parametrize("wrap", [*KINDS.values(), plain], ids=[*KINDS, "plain"])
@pytest.mark.parametrize("seed", range(30))
def test_what_is_spoilt_comes_to_the_same(wrap, seed):
    dice = random.Random(seed)
    lines = list(lines_of(wrap, dice, 12))
    for _ in range(dice.randrange(1, 4)):
        place = dice.randrange(len(lines))
        spoilt = dice.choice(SPOILT)(lines[place])
        if wrap is not journal or json_or_none(spoilt) is not None or not spoilt.endswith('"}'):
            lines[place] = spoilt  # of a journal's line that is whole nothing but its message is checked
    block = "".join(f"{line}\n" for line in lines).encode()
    found = said_in_bulk(block)
    if found is not None:
        assert (found.data, list(found.stamps)) == one_by_one(block)


@pytest.mark.parametrize("size", [300, 5000, 1 << 20])
@pytest.mark.parametrize("seed", range(10))
def test_a_log_of_all_kinds_comes_to_the_same_wherever_its_blocks_end(monkeypatch, size, seed):
    monkeypatch.setattr(unwrapping, "SEGMENT", 700)
    monkeypatch.setattr(wrapping, "_EACH", 10)  # every line, which costs too much in long logs
    dice = random.Random(seed)
    lines = [
        line for _ in range(20) for line in lines_of(dice.choice([*KINDS.values(), plain]), dice, dice.randrange(1, 30))
    ]
    log = "".join(f"{line}\n" for line in lines if not line.endswith("\r")).encode()
    blocks, begin = [], 0
    while begin < len(log):
        end = log.find(b"\n", begin + size) + 1 or len(log)
        blocks.append(log[begin:end])
        begin = end
    whole, raw = b"", b""
    for part, text in unwrapped(iter(blocks)):
        raw += part
        whole += cleaned(part, docker=False).data if text is None else text.data
    assert raw == log
    told = one_by_one(log)[0]
    assert whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").translate(None, b"\0") == (
        told.replace(b"\r\n", b"\n").replace(b"\r", b"\n").translate(None, b"\0")
    )

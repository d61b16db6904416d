"""A host in bad hands: run as a program, it plays an agent that lies, in the way that its argument names.

It shakes hands as an agent does, takes the first request, and then answers as it likes.
"""

import json
import os
import sys
import time

MARK = b"\0runbook\0"
ESCAPES = "\x1b[2J\x1b]0;owned\x07\r\u202e\x9b31m\nnew line"


def frame(body):
    """Return a body with its length."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return len(data).to_bytes(4, "big") + data


def say(*bodies):
    """Send frames."""
    write(b"".join(map(frame, bodies)))


def write(data, descriptor=1):
    """Send bytes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def requests():
    """Yield the frames that come, the first of which is the hello, after the program that an agent starts with."""
    buffer = bytearray()
    while b'{"hello"' not in buffer:
        more = os.read(0, 1 << 16)
        if not more:
            sys.exit(0)
        buffer += more
    del buffer[: buffer.index(b'{"hello"') - 4]
    while True:
        while len(buffer) < 4 or len(buffer) < 4 + int.from_bytes(buffer[:4], "big"):
            more = os.read(0, 1 << 16)
            if not more:
                sys.exit(0)
            buffer += more
        length = int.from_bytes(buffer[:4], "big")
        body = bytes(buffer[4 : 4 + length])
        del buffer[: 4 + length]
        yield whole(json.loads(body))


def whole(ask, known={}):  # noqa: B006 -- it remembers
    """Return a request with its looks, where it only names an earlier one that had the same."""
    if "form" in ask:
        return {**ask, "specs": known[ask["form"]]}
    known[ask.get("seq")] = ask.get("specs")
    return ask


def seen(ask, fields=None, **more):
    """Return an answer in which every look saw one record."""
    record = {"subject": "", "fields": fields or {}}
    looks = [
        {"id": spec["id"], "status": "seen", "records": [record], "reason": "", "state": {}, "duration": 0.1, **more}
        for spec in ask.get("specs", [])
    ]
    return {"seq": ask["seq"], "looks": looks}


def vitals(text="0"):
    """Return fields of `health`, of which the path is host text."""
    numbers = ("load1", "memory_available", "memory_used_percent", "swap_used_percent", "disk_free", "uptime")
    return {"path": text, **dict.fromkeys((*numbers, "cpu_percent", "disk_used_percent", "load_per_cpu"), 1.0)}


def endless(data, descriptor=1):
    """Send the same for ever."""
    try:
        while True:
            write(data, descriptor)
    except BrokenPipeError:
        sys.exit(0)


def silence():
    """Say nothing more, until nobody listens."""
    while os.read(0, 1 << 16):
        pass
    sys.exit(0)


def lie(kind, ask, coming):
    """Answer the first request, and then be silent."""
    for way in (pour, forge, contradict, intrude, stir):
        way(kind, ask, coming)
    silence()


def pour(kind, ask, _coming):
    """Say too much, or too little."""
    seq = ask["seq"]
    if kind == "honest":
        say(seen(ask, vitals()))
    elif kind == "endless rubbish":
        endless(os.urandom(1 << 20))
    elif kind == "endless progress":
        endless(frame({"seq": seq, "progress": "x" * 100}) * 1000)
    elif kind == "endless heartbeats":
        endless(frame({"beat": 1}) * 10000)
    elif kind == "endless answers":
        endless(frame(seen(ask)) * 1000)
    elif kind == "endless words":
        endless(b"word " * 200_000, 2)
    elif kind == "great length":
        write(b"\xff\xff\xff\xff" + b"{" * 100)
    elif kind == "half and silence":
        write(frame(seen(ask))[:-5])
        silence()
    elif kind == "half and end":
        write(frame(seen(ask))[:-5])
        sys.exit(0)
    elif kind == "drip":
        for byte in frame(seen(ask)):
            write(bytes([byte]))
            time.sleep(1.0)
    elif kind == "silence":
        silence()


def forge(kind, ask, coming):
    """Say what no reader should have to read."""
    seq = ask["seq"]
    if kind == "deep":
        write(frame(b'{"seq":%d,"looks":' % seq + b"[" * 1_000_000))
    elif kind == "deep and nameless":
        write(frame(b"[" * 1_000_000))
    elif kind == "deep values":
        value = "x"
        for _ in range(400):
            value = [value]
        say(seen(ask, {**vitals(), "load1": value}))
    elif kind == "many values":
        write(frame(b'{"seq":%d,"looks":[' % seq + b"[]," * 9_000_000 + b"[]]}"))
    elif kind == "many records":
        record = b'{"subject":"","fields":{"a":1}}'
        body = b'{"seq":%d,"looks":[{"id":"h","status":"seen","state":{},"records":[' % seq
        write(frame(body + (record + b",") * 800_000 + record + b"]}]}"))
    elif kind == "all that fits":
        entries = ",".join(f'"{number:012d}":"{number:013d}"' for number in range((1 << 20) - 100))
        write(frame(b'{"seq":%d,"looks":[{' % seq + entries.encode() + b"}]}"))
    elif kind == "many fields":
        fields = b",".join(b'"k%d":%d' % (number, number) for number in range(300_000))
        body = b'{"seq":%d,"looks":[{"id":"h","status":"seen","state":{},"records":[{"subject":"","fields":{' % seq
        write(frame(body + fields + b"}}]}]}"))
    elif kind == "growing state":
        size = 1 << 20
        while True:
            say(seen(ask, vitals(), state={"kept": "x" * size}))
            size *= 2
            ask = next(coming)
    elif kind == "deep state":
        state = {}
        for _ in range(400):
            state = {"a": state}
        say(seen(ask, vitals(), state=state))


def contradict(kind, ask, _coming):
    """Answer something else than what was asked."""
    seq = ask["seq"]
    if kind == "other request":
        say({"seq": seq + 7, "looks": []})
    elif kind == "twice":
        say(seen(ask), seen(ask))
    elif kind == "true":
        say({**seen(ask), "seq": True})
    elif kind == "text for a number":
        say({**seen(ask), "seq": str(seq)})
    elif kind == "other looks":
        say({"seq": seq, "looks": [{"id": "of another", "status": "seen", "records": [], "state": {}}] * 3})
    elif kind == "same look twice":
        good, bad = seen(ask, vitals())["looks"][0], {**seen(ask)["looks"][0], "status": "absent", "reason": "second"}
        say({"seq": seq, "looks": [good, bad]})
    elif kind == "a result":
        say({"seq": seq, "result": {"status": "done", "changed": True}})
    elif kind == "wrong kinds":
        say(seen(ask, {"load1": {"a": [1]}, "disk_free": "all of it", "uptime": [1], "memory_available": True}))
    elif kind == "great numbers":
        write(
            frame(
                b'{"seq":%d,"looks":[{"id":"h","status":"seen","state":{},"records":[{"subject":"","fields":'
                b'{"load1":NaN,"disk_free":-Infinity,"uptime":%s}}]}]}' % (seq, b"9" * 4000)
            )
        )


def intrude(kind, ask, coming):
    """Try to get at the terminal, at files, at code."""
    if kind == "escapes":
        answer = seen(ask, vitals(ESCAPES))
        for look in answer["looks"]:
            look["records"][0]["subject"] = f"/data{ESCAPES}"
        say(answer)
        for later in coming:
            if later.get("op") == "probe":
                say(
                    {
                        "seq": later["seq"],
                        "looks": [
                            {"id": spec["id"], "status": "unknown", "reason": f"may not {ESCAPES}"}
                            for spec in later["specs"]
                        ],
                    }
                )
            else:
                result = {
                    "status": "failed",
                    "changed": False,
                    "error": f"no {ESCAPES}",
                    "output": ESCAPES,
                    "exit_code": 1,
                    "data": {},
                    "actions": [{"action": "run", "what": ESCAPES}],
                    "diff": ESCAPES,
                    "duration": 0.1,
                }
                say({"seq": later["seq"], "progress": ESCAPES}, {"seq": later["seq"], "result": result})
    elif kind == "escapes at the end":
        write(f"dying {ESCAPES}\n".encode(), 2)
        sys.exit(3)
    elif kind == "asks for files":
        for name in ("/etc/shadow", "../../etc/passwd", "0" * 64):
            say({"need": name})
            answer = next(coming)
            assert "body" not in answer, answer
        say(seen(ask, vitals()))
    elif kind == "asks for the code for ever":
        while True:
            say({"need": True})
            time.sleep(0)
    elif kind == "asks for any code":
        endless(b"".join(frame({"need": f"{number:064x}"}) for number in range(1000)))
    elif kind == "ready again":
        say({"ready": {"python": "3.11"}})
    elif kind == "gives up":
        say({"seq": None, "error": ["no", "text"]})
    elif kind == "another word":
        say({"please": "format c:"})


def stir(kind, ask, coming):
    """Say that something was heard."""
    seq = ask["seq"]
    if kind == "endless stirs":
        endless(frame({"seq": seq, "stirred": ["k", "of nobody"], "at": 1.0}) * 1000)
    elif kind == "stirs":
        say({"seq": seq, "listens": True})
        for later in coming:
            keys = [spec["listen"] for spec in later["specs"]]
            word = {"seq": seq, "stirred": [*keys, *keys, "of nobody", 7, None, ESCAPES], "at": ["now"]}
            say(seen(later, vitals(), heard=[ESCAPES]), word, word)


def main(kind):
    """Play an agent."""
    if kind == "flood before the mark":
        endless(b"Welcome! " * 10_000)
    write(b"Welcome to gpu13\n" + MARK)
    coming = requests()
    next(coming)  # the hello
    if kind == "great frame before it is ready":
        write(frame(b"x" * 100_000))
        silence()
    if kind == "ready with no mapping":
        say({"ready": ["x"]})
        silence()
    say({"ready": {"python": f"3.11{ESCAPES}" if kind == "escapes" else "3.11", "pid": 1}})
    lie(kind, next(coming), coming)


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))

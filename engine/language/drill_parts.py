"""What a drill's file says is given, and what it injects, read into `drill_words`."""

from __future__ import annotations

import json
import pathlib
import re
import sys
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.language.drill_values import Values, texts
from runbook.engine.language.drill_words import (
    ANSWERING,
    PORTS,
    SCRATCH,
    DaemonGiven,
    FileGiven,
    Given,
    Injection,
    ServerGiven,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook.engine.language.values import Reader
    from runbook.engine.model import Path

_SERVER: Final = pathlib.Path(__file__).parents[1] / "drill" / "server.py"
_SIZES: Final = ("memory_total", "memory_used")
_HEADS: Final = {"kill": "daemon", "corrupt": "path", "fill": "path"}  # what a text alone means
Part = tuple[dict[str, Any], "Path"]  # a `given` as it is written, and where


class Parts:
    """The parts of one fault's place: what is given by the file, and by the fault over it."""

    def __init__(self, reader: Reader, folder: pathlib.Path, parts: list[Part]) -> None:
        self._parts = parts
        self._folder = folder
        servers, daemons = self._named("servers"), self._named("daemons")
        ports = [name for part, _ in parts for name in texts(part.get("ports"))]
        ports += [(server or {}).get("port", name) for name, (server, _) in servers.items()]
        self.ports = {name: PORTS + number for number, name in enumerate(dict.fromkeys(ports))}
        names: dict[str, Any] = {
            "scratch": SCRATCH,
            "ports": self.ports,
            "drill": {"dir": str(folder)},
            "python": sys.executable,
            "daemons": {},
            "servers": {},
        }
        self.values = Values(reader, names)
        for name, (server, _) in servers.items():
            names["servers"][name] = self._serving(name, self.ports[(server or {}).get("port", name)])
        self._daemons = {name: self._daemon(name, daemon, path) for name, (daemon, path) in daemons.items()}
        for name, daemon in self._daemons.items():
            names["daemons"][name] = {"start": list(daemon.start), "pidfile": daemon.pidfile}

    def given(self) -> Given:
        """Return what is given."""
        servers = tuple(self._server(name, server or {}, at) for name, (server, at) in self._named("servers").items())
        serving = self.values.names["servers"]
        theirs = tuple(
            DaemonGiven(one.name, tuple(serving[one.name]["start"]), serving[one.name]["pidfile"],
                        ("port", str(one.port)))
            for one in servers
        )  # fmt: skip
        return Given(
            {name: str(value) for name, value in self._merged("env").items()},
            self._disks(),
            tuple(self._file(name, one, at) for name, (one, at) in self._named("files").items()),
            self._gpus(),
            {name: str(text) for name, text in self._merged("programs").items()},
            servers,
            (*theirs, *self._daemons.values()),
            tuple(self.values.words(self.values.filled(one, at), at) for one, at in self._listed("run")),
        )

    def injections(self, given: Any, path: Path, made: Given) -> tuple[Injection, ...]:
        """Return what is injected."""
        if isinstance(given, list):
            return tuple(self._injection(each, (*path, number), made) for number, each in enumerate(given))
        return (self._injection(given, path, made),)

    def _named(self, key: str) -> dict[str, tuple[Any, Path]]:
        """Return the entries of a mapping, the later parts' over the earlier's, each with where it is written."""
        found: dict[str, tuple[Any, Path]] = {}
        for part, path in self._parts:
            found.update({str(name): (each, (*path, key, name)) for name, each in (part.get(key) or {}).items()})
        return found

    def _listed(self, key: str) -> list[tuple[Any, Path]]:
        for part, path in reversed(self._parts):
            if key in part:
                return [(each, (*path, key, number)) for number, each in enumerate(part[key])]
        return []

    def _merged(self, key: str) -> dict[str, Any]:
        return {name: self.values.filled(each, at) for name, (each, at) in self._named(key).items()}

    @staticmethod
    def _serving(name: str, port: int) -> dict[str, Any]:
        argv = [sys.executable, "-I", str(_SERVER), f"{ANSWERING}/{name}.json"]
        pidfile = f"{SCRATCH}/run/{name}.pid"
        return {"start": argv, "pidfile": pidfile, "port": port, "url": f"http://127.0.0.1:{port}"}

    def _daemon(self, name: str, given: Mapping[str, Any], path: Path) -> DaemonGiven:
        values = self.values
        filled = values.filled(given, path)
        if name in values.names["servers"]:
            values.reader.add(
                "RB015", f"there is a server `{name}` too", path, "give one of them another name", key=True
            )
        ready = next(((kind, str(filled["ready"][kind])) for kind in filled.get("ready") or ()), None)
        if ready is not None and ready[0] == "port":
            values.known(ready[1], self.ports, "port", (*path, "ready", "port"))
            ready = ("port", str(self.ports.get(ready[1], 0)))
        elif ready is not None and ready[0] == "file":
            ready = ("file", values.place(ready[1], (*path, "ready", "file")))
        elif ready is not None:
            self._regex(ready[1], (*path, "ready", "line"))
        return DaemonGiven(
            name,
            values.words(filled["start"], (*path, "start")),
            values.place(filled.get("pidfile", f"run/{name}.pid"), (*path, "pidfile")),
            ready,
            {key: str(value) for key, value in (filled.get("env") or {}).items()},
        )

    def _server(self, name: str, given: Mapping[str, Any], path: Path) -> ServerGiven:
        filled = self.values.filled(given, path)
        folder = filled.get("folder")
        answers = {at: self._answer(one, (*path, "answers", at)) for at, one in (filled.get("answers") or {}).items()}
        place = None if folder is None else self.values.place(folder, (*path, "folder"))
        if filled.get("hub") and place is None:
            self.values.reader.add(
                "RB006", "a hub needs a `folder`", path, "write where its repositories are", key=True
            )
        return ServerGiven(name, self.ports[given.get("port", name)], place, bool(filled.get("hub")), answers)

    def _answer(self, given: Any, path: Path) -> dict[str, Any]:
        if isinstance(given, str):
            return {"how": given}
        made = dict(given)
        if "delay" in made:
            made["delay"] = self.values.seconds(made["delay"], (*path, "delay"), 0.0)
        return made

    def _disks(self) -> dict[str, int]:
        named = self._named("disks")
        return {
            self.values.place(name, at): self.values.bytes(self.values.filled(size, at), at, 1 << 20)
            for name, (size, at) in named.items()
        }

    def _file(self, name: str, given: Any, path: Path) -> FileGiven:
        values = self.values
        filled = values.filled(given, path)
        if not isinstance(filled, dict):
            filled = {} if filled is None else {"content": filled}
        folder = name.endswith("/")
        body = self._body(filled, path)
        if folder and any(value is not None for value in body.values()):
            values.reader.add(
                "RB011", f"{name} is a directory, which has no content", path, "leave out the /", key=True
            )
        return FileGiven(
            values.place(name, path),
            folder,
            **body,
            mode=values.mode(filled.get("mode"), (*path, "mode")),
            owner=filled.get("owner"),
            group=filled.get("group"),
            age=values.seconds(filled["age"], (*path, "age"), 0.0) if "age" in filled else None,
        )

    def _body(self, filled: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """Return a file's content: text, bytes of its own, or a copy."""
        content, copy = filled.get("content"), filled.get("copy")
        if "json" in filled:
            content = json.dumps(filled["json"], indent=2) + "\n"
        if copy is not None:
            copy = str(self._folder / copy)
            if not pathlib.Path(copy).exists():
                self.values.reader.add("RB011", f"there is no {copy}", (*path, "copy"), "give its path from here")
        size = self.values.bytes(filled["size"], (*path, "size"), 0) if "size" in filled else None
        weights = (
            self.values.bytes(filled["safetensors"], (*path, "safetensors"), 0) if "safetensors" in filled else None
        )
        return {"content": content, "size": size, "weights": weights, "copy": copy}

    def _gpus(self) -> tuple[Mapping[str, Any], ...]:
        for part, path in reversed(self._parts):
            if "gpus" not in part:
                continue
            given = self.values.filled(part["gpus"], (*path, "gpus"))
            listed = [{}] * given if isinstance(given, int) else given
            return tuple(self._gpu(one, (*path, "gpus", number)) for number, one in enumerate(listed))
        return ()

    def _gpu(self, given: Mapping[str, Any], path: Path) -> dict[str, Any]:
        made = dict(given)
        for name in _SIZES:
            if name in made:
                made[name] = self.values.bytes(made[name], (*path, name), 0)
        return made

    def _injection(self, given: Mapping[str, Any], path: Path, made: Given) -> Injection:
        [(kind, written)] = given.items()
        at = (*path, kind)
        filled = self.values.filled(written, at)
        if isinstance(filled, str) and kind in _HEADS:
            filled = {_HEADS[kind]: filled}
        params = self._params(kind, filled, at, made)
        return Injection(kind, params, _said(kind, filled))

    def _params(self, kind: str, filled: Any, at: Path, made: Given) -> dict[str, Any]:
        values = self.values
        daemons = [one.name for one in made.daemons]
        if kind in {"kill", "hang"}:
            params = {"daemon": filled} if kind == "hang" else dict(filled)
            if "match" in params:
                self._regex(params["match"], (*at, "match"))
            elif params.get("daemon"):
                values.known(params["daemon"], daemons, "daemon or server in `given`", at)
            else:
                values.reader.add("RB006", "it names no process", at, "write `daemon: NAME`, or `match: REGEX`")
            return params
        if kind in {"write", "append", "corrupt", "permit", "age", "log", "fill"}:
            return self._changed(kind, dict(filled), at, made)
        if kind == "remove":
            return {"paths": [values.place(one, at) for one in texts(filled)]}
        if kind == "kernel":
            return {"lines": list(texts(filled))}
        if kind == "gpu":
            if not made.gpus or filled.get("index", 0) >= len(made.gpus):
                values.reader.add("RB012", f"the place has {len(made.gpus)} GPUs", at, "write `given: {gpus: 2}`")
            return self._gpu(filled, at)
        if kind == "server":
            for name in filled:
                values.known(name, [one.name for one in made.servers], "server in `given`", (*at, name), key=True)
            return {name: self._answer(one, (*at, name)) for name, one in filled.items()}
        if kind == "run":
            return {"argv": values.words(filled, at)}
        return {"seconds": values.seconds(filled, at, 0.0)}

    def _changed(self, kind: str, params: dict[str, Any], at: Path, made: Given) -> dict[str, Any]:
        """Return what an injection into a file or disk needs."""
        values = self.values
        params["path"] = values.place(params["path"], (*at, "path"))
        if kind == "write":
            params = {"path": params["path"], **self._body(params, at)}
        elif kind == "age":
            params["by"] = values.seconds(params["by"], (*at, "by"), 0.0)
        elif kind == "log":
            params["lines"] = list(texts(params["lines"]))
        elif kind == "permit" and "mode" in params:
            params["mode"] = values.mode(params["mode"], (*at, "mode"))
        elif kind == "fill":
            if params["path"] not in made.disks:
                known = ", ".join(made.disks) or "none"
                mend = f"a drill fills only disks of its own; `given.disks` has {known}"
                values.reader.add("RB012", f"{params['path']} is no disk of this place", (*at, "path"), mend)
            params["leave"] = values.bytes(params.get("leave"), (*at, "leave"), 0)
            params["as"] = values.place(params.get("as", f"{params['path']}/filled-by-the-drill"), (*at, "as"))
        return params

    def _regex(self, text: str, path: Path) -> None:
        try:
            re.compile(text)
        except re.error as error:
            self.values.reader.add("RB011", f"this is no regular expression: {error}", path)


def _said(kind: str, filled: Any) -> str:
    """Return an injection as one reads it: `kill trainer`, `gpu index 0, temperature 95`."""
    if isinstance(filled, dict):
        parts = [f"{key} {_short(value)}" for key, value in filled.items()]
        head = _HEADS.get(kind)
        if head in filled:
            parts[0:0] = [_short(filled[head])]
            parts = [part for part in parts if part != f"{head} {_short(filled[head])}"]
        return f"{kind} {', '.join(parts)}"
    if isinstance(filled, list):
        return f"{kind} {' '.join(_short(each) for each in filled)}"
    return f"{kind} {_short(filled)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:59]}…"

"""The first lines on a host, run as `python -I -c` with this file's text: take the packed modules, start the agent.

What is too new for Python 3.9 or not in the standard library can't stand here.
"""

import contextlib
import gc
import importlib.machinery
import json
import marshal
import os
import sys
from typing import Any, Dict, NoReturn

REQUESTS, ANSWERS = 0, 1
BUNDLE = ".bytecode"
PARTS = ("", "acting", "rest")  # of a bundle: the first is there when the agent starts, the others when they are needed
ELSEWHERE = ("_winapi", "msvcrt", "nt", "org", "winreg")  # what Python itself tries to import, and does without
PATIENCE = 30.0  # seconds for another part of the code to come
LINK, DIRECTORY, FILE, KIND = 0o120000, 0o040000, 0o100000, 0o170000
LIBRARIES = ("/usr/lib64", "/usr/lib", "/lib64", "/lib", "/usr/local/lib", "/usr/lib/wsl/lib", "/run/opengl-driver/lib")


def read(size: int) -> bytes:
    """Return exactly so many bytes of what the controller sends."""
    data = b""
    while len(data) < size:
        more = os.read(REQUESTS, min(size - len(data), 1 << 20))
        if not more:
            sys.exit("the controller went away before the agent had started")
        data += more
    return data


def frame() -> bytes:
    """Return the body of the next frame."""
    return read(int.from_bytes(read(4), "big"))


def answer(message: "dict[str, object]") -> None:
    """Send a frame."""
    data = json.dumps(message).encode()
    try:
        os.write(ANSWERS, len(data).to_bytes(4, "big") + data)
    except OSError:
        sys.exit("the controller went away before the agent had started")


def end(reason: str) -> NoReturn:
    """Tell the controller why there will be no agent."""
    answer({"error": reason})
    sys.exit(reason)


class Unusable(Exception):
    """A directory that others can change, or code that did not arrive whole; the message says what mends it."""


def private(directory: str) -> None:
    """See that the directory is ours alone and nobody but us or root can change the way to it; make what is missing.

    Raises:
        Unusable: it is not, or can't be made.
    """
    path = ""
    for part in ["", *filter(None, directory.split("/"))]:
        path = f"{path.rstrip('/')}/{part}"
        try:
            make(path)
            seen = os.lstat(path)
        except OSError as error:
            raise Unusable(
                f"the agent's directory {directory} can't be used: {path}: {error.strerror}; "
                "`agent_dir` of the host, or $RUNBOOK_AGENT_DIR on this machine, names another place"
            ) from error
        last, mine, kind = path == directory, os.geteuid(), seen.st_mode & KIND
        wrong = ""
        if kind == LINK and (last or seen.st_uid):
            wrong = f"{path} is a link; name the real directory"
        elif kind not in {DIRECTORY, LINK} and not (last and kind == FILE and path.endswith(BUNDLE)):
            wrong = f"{path} is not a directory"
        elif seen.st_uid != mine and (last or seen.st_uid):
            wrong = f"{path} belongs to uid {seen.st_uid}, not to {mine}"
        elif kind != LINK and (last or not seen.st_mode & 0o1000) and others_write(seen):
            wrong = f"others can write in {path}; mend it with `chmod go-w {path}`"
        if wrong:
            raise Unusable(f"the agent's directory {directory} can't be used: {wrong}")


def make(path: str) -> None:
    """Make a directory that is missing, for us alone."""
    if not os.path.lexists(path):
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            return  # another agent was quicker


def others_write(seen: os.stat_result) -> bool:
    """Say whether somebody else may write there; a group with nobody else in it, as distributions make, is no one."""
    if seen.st_mode & 0o002:
        return True
    if not seen.st_mode & 0o020 or seen.st_gid == 0:
        return False
    import grp
    import pwd

    try:
        me, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(seen.st_gid)
    except KeyError:
        return True
    return seen.st_gid != me.pw_gid or group.gr_name != me.pw_name or not set(group.gr_mem) <= {me.pw_name}


def unpack(pack: bytes, wanted: str, code: str) -> None:
    """Put packed files in their place, all at once, when their hash is the one that was announced.

    Raises:
        Unusable: it is another, or there is no room for them.
    """
    import hashlib
    import io
    import shutil
    import tempfile
    import zipfile

    digest = hashlib.sha256()
    with zipfile.ZipFile(io.BytesIO(pack)) as files:
        for name in sorted(files.namelist()):
            content = files.read(name)
            digest.update(b"%s\0%d\0" % (name.encode(), len(content)) + content)
        if digest.hexdigest() != wanted:
            raise Unusable("the packed modules arrived damaged: their hash is not the one that was announced")
        try:
            fresh = tempfile.mkdtemp(dir=os.path.dirname(code))
        except OSError as error:
            raise Unusable(f"the agent's code can't be kept in {code}: {error.strerror}") from error
        try:
            files.extractall(fresh)
            os.rename(fresh, code)
        except OSError as error:
            shutil.rmtree(fresh, ignore_errors=True)
            if not os.path.isdir(code):  # else another agent was quicker
                raise Unusable(f"the agent's code can't be kept in {code}: {error.strerror}") from error


def present(library: str) -> bool:
    """Say whether a shared library seems to be on this machine."""
    places = [*os.environ.get("LD_LIBRARY_PATH", "").split(":"), *LIBRARIES]
    places += [f"/usr/lib/{os.uname().machine}-linux-gnu"]
    return any(os.path.exists(os.path.join(place, library)) for place in places if place)


def usual(become: bool) -> str:
    """Return where the agent keeps what is its own."""
    if os.geteuid() == 0:
        return "/var/lib/runbook/agent"
    if not become:
        state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        return os.path.join(state, "runbook/agent")
    home = os.path.expanduser("~")
    with contextlib.suppress(OSError):
        if os.stat(home).st_uid == os.geteuid():
            return os.path.join(home, ".local/state/runbook/agent")
    return f"/var/tmp/runbook-{os.geteuid()}"  # noqa: S108 -- a service's user has no home; `private` looks at its owner


def settle() -> None:
    """Leave the login user's surroundings: what it can write is neither searched for programs nor our directory."""
    import pwd

    with contextlib.suppress(KeyError):
        os.environ["HOME"] = pwd.getpwuid(os.geteuid()).pw_dir
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "TMPDIR"):
        os.environ.pop(name, None)
    found = [path for path in os.environ.get("PATH", "").split(":") if safe(path)]
    os.environ["PATH"] = ":".join(found) or "/usr/sbin:/usr/bin:/sbin:/bin"
    for place in (os.environ["HOME"], "/"):
        with contextlib.suppress(OSError):
            os.chdir(place)
            return


def safe(path: str) -> bool:
    """Say whether nobody but us and root can change what lies in a directory."""
    if not path.startswith("/"):
        return False
    path = os.path.realpath(path)
    while True:
        try:
            seen = os.stat(path)
        except OSError:
            return False
        if seen.st_uid not in {0, os.geteuid()} or (others_write(seen) and not seen.st_mode & 0o1000):
            return False
        if path == "/":
            return True
        path = os.path.dirname(path)


def furnish(base: str, hello: "dict[str, Any]") -> str:
    """See that the code and what goes with it are here; return where the code is.

    All that is missing is asked for at once.

    Raises:
        Unusable: it can't be kept.
    """
    code = os.path.join(base, "code", hello["hash"])
    from _frozen_importlib_external import MAGIC_NUMBER  # `importlib.util` takes longer than all else here

    whole = hello.get("magic") == MAGIC_NUMBER.hex()  # its bytecode is ours
    if whole:
        code += f"-{hello['magic']}{BUNDLE}"
    private(base)
    private(os.path.dirname(code))
    missing = not (intact(code) if whole else os.path.isdir(code))
    if missing:
        answer({"need": True, "whole": whole})
    beside = [layer["hash"] for layer in hello.get("layers", ()) if present(layer["library"])]
    lacking = [each for each in beside if not os.path.isdir(os.path.join(base, "code", each))]
    for each in lacking:
        answer({"need": each})
    if missing and whole:
        store(frame(), code)
    elif missing:
        unpack(frame(), hello["hash"], code)
    for each in lacking:
        import base64

        came = json.loads(frame())
        if came.get("error"):
            raise Unusable(came["error"])
        unpack(base64.b64decode(came["body"]), each, os.path.join(base, "code", each))
    places = [os.path.join(base, "code", each) for each in beside]
    for place in [code, *places]:
        private(place)
        os.utime(place)  # in use: not to be tidied away
    at = next((number for number, path in enumerate(sys.path) if path.endswith("-packages")), len(sys.path))
    sys.path[at:at] = places
    if whole:
        sys.meta_path.insert(0, Bundle(code))
    else:
        sys.path.insert(0, code)
    return code


class Installed:
    """Finds what is installed on the host. `site`, which knows where that is, runs when it is asked for first."""

    def find_spec(self, name: str, path: object = None, _target: object = None) -> Any:
        """Return how a module is loaded that nobody else has found."""
        if path is not None or name in ELSEWHERE:
            return None  # its package is known, and has no such module; or no machine of this kind has it
        sys.meta_path.remove(self)
        import site

        with contextlib.suppress(Exception):  # what an administrator's own start-up code does is not ours
            site.main()
        importlib.machinery.PathFinder.invalidate_caches()
        return importlib.machinery.PathFinder.find_spec(name)


class Bundle:
    """The agent's code as files of bytecode: nothing to unpack, to compile or to search for.

    4 bytes of the index's length, 8 of the file's, the index, and what it points to. The first file has the index and
    what usual looks need; another comes when something of it is imported first. It is asked for by a child of the
    agent, which can wait for it; the agent itself can't.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.paths = [path, *(f"{path[: -len(BUNDLE)]}.{name}{BUNDLE}" for name in PARTS[1:])]
        head, code = _opened(path)
        self._index: Dict[str, tuple[int, int, int, bool]] = marshal.loads(head)  # noqa: S302 -- of our own file
        self._codes = {0: code}
        self.wants = -1  # where a child writes which part it needs
        self.agent = 0  # the agent's process

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> Any:
        """Return how a module is loaded; None where it is not of the agent."""
        found = self._index.get(name)
        if found is None:
            return None
        package = found[3]
        place = f"{self._path}/{name.replace('.', '/')}"
        file = f"{place}/__init__.py" if package else f"{place}.py"
        spec = importlib.machinery.ModuleSpec(name, self, origin=file)  # type: ignore[arg-type]
        spec.has_location = True
        if package:
            spec.submodule_search_locations = [place]
        return spec

    def part(self, name: str) -> int:
        """Return in which part one of the agent's modules stands; that of one that there is not is the last."""
        found = self._index.get(f"runbook.modules.{name}")
        return len(PARTS) - 1 if found is None else found[2]

    def names(self, package: str) -> "list[str]":
        """Return what is directly in a package."""
        below = [name[len(package) + 1 :] for name in self._index if name.startswith(package + ".")]
        return [name for name in below if "." not in name]

    def create_module(self, _spec: object) -> None:
        """Have the usual one made."""

    def exec_module(self, module: Any) -> None:
        """Run a module."""
        start, size, part, _ = self._index[module.__name__]
        code = self._code(part)[start : start + size]
        exec(marshal.loads(code), module.__dict__)  # noqa: S102, S302 -- of our own file

    def _code(self, part: int) -> memoryview:
        """Return what a file holds; a child waits until it is there."""
        if part not in self._codes:
            path = self.paths[part]
            if not intact(path):
                self._await(part)
            private(path)
            self._codes[part] = _opened(path)[1]
        return self._codes[part]

    def _await(self, part: int) -> None:
        if self.wants < 0 or os.getpid() == self.agent:
            raise ImportError("this part of the agent's code has not come yet")
        import time

        until = time.monotonic() + PATIENCE
        os.write(self.wants, bytes([part]))
        while not intact(self.paths[part]):
            if time.monotonic() > until:
                raise ImportError(f"the controller did not send the rest of the agent's code within {PATIENCE:g} s")
            time.sleep(0.005)


def _opened(path: str) -> "tuple[memoryview, memoryview]":
    """Return the index that a bundle's file begins with, empty in all but the first, and what stands behind it."""
    with open(path, "rb", buffering=0) as file:
        data = memoryview(file.read())
    start = 12 + int.from_bytes(data[:4], "big")
    return data[12:start], data[start:]


def intact(path: str) -> bool:
    """Say whether a bundle is here and as long as it should be: a machine that lost its power may have kept half."""
    with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
        return int.from_bytes(file.read(12)[4:], "big") == os.fstat(file.fileno()).st_size
    return False


def store(pack: bytes, place: str) -> None:
    """Put a bundle in its place, all at once.

    Raises:
        Unusable: it did not arrive whole, or there is no room for it.
    """
    import zlib

    if _sha256(pack[32:]) != pack[:32]:
        raise Unusable("the packed modules arrived damaged: their hash is not the one that was announced")
    fresh = f"{place}.{os.urandom(8).hex()}"  # hosts that share a home may each have a process of our number
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            rest = memoryview(zlib.decompress(pack[32:], bufsize=4 * len(pack)))
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)
        os.rename(fresh, place)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise Unusable(f"the agent's code can't be kept in {place}: {error.strerror}") from error


def _sha256(data: bytes) -> bytes:
    """Return the hash by Python's own code: to load OpenSSL for `hashlib` takes longer than all that is hashed here."""
    try:
        import _sha256 as found  # type: ignore[import-not-found]
    except ImportError:  # from 3.12 on it has another name, and a Python that keeps to FIPS has neither
        try:
            import _sha2 as found  # type: ignore[import-not-found]
        except ImportError:
            import hashlib as found
    digest: bytes = found.sha256(data).digest()
    return digest


def keep(_loader: object, path: str, data: bytes, **_mode: int) -> None:
    """Keep compiled code whole or not at all: Python itself keeps what a full disk took of it, and then fails on it."""
    fresh = f"{path}.{os.urandom(8).hex()}"
    with contextlib.suppress(OSError):
        make(os.path.dirname(path))
        with open(fresh, "xb", buffering=0) as file:
            whole = file.write(data) == len(data)
        if whole:
            os.replace(fresh, path)
    with contextlib.suppress(OSError):
        os.unlink(fresh)


def main() -> int:
    """Shake hands, see to the code, and become the agent."""
    gc.disable()  # until the first answer: nearly all that is made by then stays
    hello = json.loads(frame())
    if hello.get("hello") != 1:
        end(f"this agent speaks version 1 of the protocol, the controller {hello.get('hello')!r}")
    become = bool(hello.get("become"))
    if become:
        settle()
    base = os.path.abspath(hello.get("base") or usual(become))
    try:
        code = furnish(base, hello)
    except (Unusable, OSError) as error:
        end(str(error))
    importlib.machinery.SourceFileLoader.set_data = keep  # type: ignore[method-assign,assignment]
    sys.path.extend(path for path in hello.get("packages", ()) if path not in sys.path)
    if "site" not in sys.modules:
        sys.meta_path.append(Installed())
    sys.modules["runbook.modules.bootstrap"] = sys.modules[__name__]  # lest it is loaded and run once more
    from runbook.modules import agent

    if not str(agent.__file__).startswith(code + "/"):
        end(f"another `runbook` stands before the agent's own: {agent.__file__}")
    return agent.main(base, REQUESTS, ANSWERS)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # spares what an interpreter does at its end

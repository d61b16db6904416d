"""Steps and probes of a user's own, for tests: written into a folder, and installed packages that are only files."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import textwrap

STEP = '''
from dataclasses import dataclass
from typing import List

from runbook.modules.acting import tree
from runbook.modules.actions import Action, Write
from runbook.modules.declare import Impact, Path, Step


@dataclass(frozen=True)
class {cls}(Step):
    """Write a flag.

    Example:
        - {name}: /srv/flag
    """

    impact = Impact.LOW
    writes = ("path",)
    {more}

    path: Path  # the file
    text: str = "up"  # what it says

    def plan(self, host) -> List[Action]:
        tree.inside(self.path, host.writable)
        {first}
        content = self.text.encode()
        try:
            with open(self.path, "rb") as file:
                before = file.read()
        except FileNotFoundError:
            before = None
        return [] if before == content else [Write(self.path, content, before=before)]
'''

PROBE = '''
from dataclasses import dataclass

from runbook.modules.declare import Path, Probe, Record


@dataclass(frozen=True)
class {cls}Record(Record):
    path: str  # the file
    length: int  # of its content


@dataclass(frozen=True)
class {cls}(Probe):
    """How long a file is.

    Example:
        - {name}: /srv/flag
          when: length > 1
    """

    record = {cls}Record
    subject = "path"
    {more}

    path: Path  # the file

    def look(self, host):
        {first}
        with open(self.path) as file:
            yield {cls}Record(self.path, len(file.read()))
'''


def camel(name):
    return "".join(part.capitalize() for part in name.split("_"))


def write(folder, noun, name, *, first="pass", more="", text=None):
    """Write a module that works, or `text`."""
    file = pathlib.Path(folder) / f"{noun}s" / f"{name}.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    made = (STEP if noun == "step" else PROBE).format(
        cls=camel(name), name=name, more=more, first=textwrap.indent(first, " " * 8).lstrip()
    )
    file.write_text(made if text is None else text)
    return file


def install(place, name, files, *, requires=(), python=">=3.8", pure=True, points=""):
    """Put a distribution into a directory of the path, as pip leaves it."""
    place = pathlib.Path(place)
    info = f"{name.replace('-', '_')}-1.0.dist-info"
    wanted = "".join(f"Requires-Dist: {each}\n" for each in requires)
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Python: {python}\n{wanted}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: {str(pure).lower()}\nTag: py3-none-any\n",
        **({f"{info}/entry_points.txt": points} if points else {}),
    }
    for path, content in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(content)
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    (place / info / "RECORD").write_text(record)


def python39():
    """Return an interpreter of 3.9, when there is one."""
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv"))
    found = []
    with contextlib.suppress(PermissionError):
        found = sorted(map(str, pyenv.glob("versions/3.9.*/bin/python")))
    for candidate in filter(None, [shutil.which("python3.9"), *found]):
        if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    return None

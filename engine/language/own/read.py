"""A user's module as lint and the engine know it: its class is made from what the file says; the file is not run."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING, Any, Final, Literal

from runbook.engine.language.nearest import nearest
from runbook.engine.language.own.shape import Shape, Wrong
from runbook.engine.language.own.values import Names, Unreadable
from runbook.engine.model import Finding, Span
from runbook.modules import needs
from runbook.modules.declare import Impact, Probe, Record, Step
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

CODE: Final = "RB063"
RULE: Final = "own-module"
_HOST = "runbook_modules"
_WITHIN = {"runbook", _HOST, "psutil", "pynvml", *sys.stdlib_module_names}
_UNASKED = {"step": ("effective_impact", "again"), "probe": ("deadline",)}
_TEXTS = ("needs", "writes", "pathlike")
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("idempotent", "on_subject", "guards", "events"), (bool,)),
    **dict.fromkeys(("first", "subject"), (str, type(None))),
    "timeout": (int, float),
}
_SAID = {"timeout": "seconds", "first": "a parameter's name", "subject": "a field's name"}

Noun = Literal["step", "probe"]


@frozen
class Read:
    """One file."""

    noun: Noun
    name: str
    file: str  # as messages show it
    text: str
    cls: type[Step | Probe] | None  # None where it is no module
    findings: tuple[Finding, ...]


def read(noun: Noun, name: str, file: str, content: bytes) -> Read:
    """Return what a module's file says; nothing in it raises, and nothing of it is run."""
    try:
        text = content.decode("utf-8")
        tree = ast.parse(text, file)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        return Read(noun, name, file, "", None, (_finding(file, line, "the file is not UTF-8", "save it as UTF-8"),))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line, column = getattr(error, "lineno", None) or 1, getattr(error, "offset", None) or 1
        found = _finding(file, line, f"this is no Python: {getattr(error, 'msg', None) or error}", "", column)
        return Read(noun, name, file, content.decode("utf-8", "replace"), None, (found,))
    reader = _Reader(noun, name, file, text, tree)
    try:
        cls = reader.module()
    except RecursionError:
        cls = None
        reader.findings.append(_finding(file, 1, "it is nested too deeply to be read", ""))
    if any(found.level == "error" for found in reader.findings):
        cls = None
    order = sorted(dict.fromkeys(reader.findings), key=lambda found: (found.span.line, found.span.column))
    return Read(noun, name, file, text, cls, tuple(order))


def class_name(name: str) -> str:
    """Return the class that a module's file holds: `raise_flag` has RaiseFlag."""
    return "".join(part.capitalize() for part in name.split("_"))


def _finding(
    file: str, line: int, message: str, hint: str, column: int = 1, end: int | None = None, level: str = "error"
) -> Finding:
    span = Span(file, line, column, line, end or column + 1)
    return Finding(CODE, RULE, "warning" if level == "warning" else "error", message, span, hint)


class _Reader:
    def __init__(self, noun: Noun, name: str, file: str, text: str, tree: ast.Module) -> None:
        self.noun, self.name, self.file, self.text, self.tree = noun, name, file, text, tree
        self.lines = text.splitlines() or [""]
        self.findings: list[Finding] = []
        self.names = Names(tree, self._class)
        self.base: type[Step | Probe] = Step if noun == "step" else Probe
        self._made: dict[str, Any] = {}

    def say(self, node: ast.AST, message: str, hint: str = "", *, level: str = "error") -> None:
        line = getattr(node, "lineno", 1)
        column = self._column(line, getattr(node, "col_offset", 0))
        end = getattr(node, "end_lineno", line)
        width = len(self.lines[line - 1]) if line <= len(self.lines) else 0
        last = self._column(line, getattr(node, "end_col_offset", 0)) if end == line else width + 1
        self.findings.append(_finding(self.file, line, message, hint, column, max(last, column + 1), level))

    def module(self) -> Any:
        """Return the class that stands for the module, and note what is wrong with it."""
        wanted = class_name(self.name)
        self._whole_file()
        node = next((each for each in self.names.classes() if each.name == wanted), None)
        if node is None:
            others = [each for each in self.names.classes() if self._is_module(each)]
            hint = f"write `class {wanted}({self.base.__name__}):`"
            hint = f"rename {others[0].name}, or the file" if others else hint
            self.say(others[0] if others else self.tree, f"the {self.noun} `{self.name}` needs a class {wanted}", hint)
            return None
        made = self._class(node)
        wrong = made is not None and not (isinstance(made, type) and issubclass(made, self.base))
        if wrong or (made is None and not any(each.level == "error" for each in self.findings)):
            self.say(node, f"{wanted} is no {self.base.__name__}", f"write `class {wanted}({self.base.__name__}):`")
            return None
        if made is not None:
            self._methods(node)
            self._example(node, made)
        for newer in self.names.newer:
            said = f"Python 3.9, which hosts may have, can't read `{ast.unparse(newer)}`"
            self.say(newer, said, "write Optional[…] or Union[…] of typing", level="warning")
        return made

    def _whole_file(self) -> None:
        """Note what would fail on a host, wherever it stands."""
        try:
            ast.parse(self.text, feature_version=(3, 9))
        except SyntaxError as error:
            line = error.lineno or 1
            said = f"Python 3.9, which hosts may have, can't read this: {error.msg}"
            self.findings.append(_finding(self.file, line, said, "", error.offset or 1, level="warning"))
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                if any(each.name == "annotations" for each in node.names):
                    said = "with this, the types of parameters are texts to the host, which then can't use them"
                    self.say(node, said, "delete the line")
            elif isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0):
                self._imports(node)
        for inner in ast.walk(self.tree):
            if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id == "print":
                hint = "raise Failed, or report values" if self.noun == "step" else "put it into the record"
                self.say(inner, "nobody sees what a module prints", hint, level="warning")

    def _imports(self, node: ast.Import | ast.ImportFrom) -> None:
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
        for module in modules:
            if module.partition(".")[0] not in _WITHIN and not self._needed(module):
                said = f"`{module}` is not in the standard library, and a host may not have it"
                self.say(node, said, f'write `needs = ("{module.partition(".")[0]}",)` in the class', level="warning")

    def _needed(self, module: str) -> bool:
        """Whether some `needs` of the file names what is imported."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name) and target.id == "needs":
                    texts = [str(each.value) for each in ast.walk(node.value) if isinstance(each, ast.Constant)]
                    known = [needs.parsed(each)[1] for each in texts if needs.ENTRY.fullmatch(each)]
                    return any(module == each or module.startswith(f"{each}.") or each.startswith(f"{module}.")
                               for each in known)  # fmt: skip
        return False

    def _class(self, node: ast.ClassDef) -> Any:
        """Return the class that a definition makes, or None where it can't be told."""
        if node.name not in self._made:
            self._made[node.name] = None
            self._made[node.name] = self._make(node)
        return self._made[node.name]

    def _make(self, node: ast.ClassDef) -> Any:
        bases = [self._quietly(base) for base in node.bases]
        base = next((each for each in bases if each in {Step, Probe, Record}), None)
        if base is None or len(bases) != 1:
            return None
        self._decorated(node)
        shape = Shape(node, self.names, ast.get_source_segment(self.text, node) or "")
        try:
            made = shape.make(base, f"{_HOST}.{self.noun}s.{self.name}")
        except Wrong as wrong:
            for each in wrong.all:
                self.say(each.node, each.what, each.hint)
            return None
        if base is not Record:
            self._attributes(node, shape, made)
        return made

    def _decorated(self, node: ast.ClassDef) -> None:
        for each in node.decorator_list:
            called = each.func if isinstance(each, ast.Call) else each
            name = ast.unparse(called).rpartition(".")[2]
            keywords = {key.arg: ast.unparse(key.value) for key in each.keywords} if isinstance(each, ast.Call) else {}
            if name == "frozen" or (name == "dataclass" and keywords.get("frozen") == "True"):
                return
        self.say(node, f"{node.name} is no frozen dataclass", "write `@dataclass(frozen=True)` above it")

    def _attributes(self, node: ast.ClassDef, shape: Shape, made: Any) -> None:
        """Check what a class says of itself."""
        for name, (value, at) in shape.attributes.items():
            if name in _TEXTS:
                self._texts(name, value, at, made)
            elif name in _KINDS and (not isinstance(value, _KINDS[name]) or (name == "timeout" and value is True)):
                self.say(at, f"`{name}` is {_SAID.get(name, 'true or false')}, not {value!r}")
            elif name == "impact" and not isinstance(value, Impact):
                self.say(at, f"`impact` is one of {_impacts()}, not {value!r}", "write `impact = Impact.LOW`")
            elif name == "engine":
                self.say(at, "`engine` marks the engine's own words", "delete it")
            elif name == "first" and value is not None and value.rstrip("_") not in shape.fields:
                self.say(at, f"`first` names no parameter: there are {', '.join(shape.fields) or 'none'}")
        if made.__bases__[0] is Step and "impact" not in shape.attributes:
            self.say(node, f"{node.name} says nothing of its impact", f"write `impact = Impact.…`: {_impacts()}")
        if made.__bases__[0] is Probe:
            record = getattr(made, "record", None)
            if not (isinstance(record, type) and issubclass(record, Record)):
                self.say(node, f"{node.name} says nothing of its records", "write `record = …`, a class of fields")
            elif made.subject is not None and made.subject not in getattr(record, "__dataclass_fields__", {}):
                self.say(shape.attributes["subject"][1], f"`subject` names no field of {record.__name__}")

    def _texts(self, name: str, value: Any, at: ast.AST, made: Any) -> None:
        if not isinstance(value, tuple | list) or not all(isinstance(each, str) for each in value):
            self.say(at, f"`{name}` is a tuple of texts", f'write `{name} = ("…",)`')
            return
        if name == "needs":
            for each in value:
                if needs.ENTRY.fullmatch(each) is None:
                    self.say(at, f"`{each}` names no distribution", "write DISTRIBUTION, or DISTRIBUTION as IMPORT")
            return
        fields = getattr(made, "__dataclass_fields__", {})
        for each in value:
            if each not in fields:
                near = nearest(each, fields)
                self.say(at, f"`{name}` names `{each}`, which is no parameter", f"did you mean {near}?" if near else "")

    def _methods(self, node: ast.ClassDef) -> None:
        wanted = "plan" if self.noun == "step" else "look"
        functions = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
        method = functions.get(wanted)
        if method is None:
            near = nearest(wanted, functions)
            hint = f"is {near} meant?" if near else f"write `def {wanted}(self, host):`"
            self.say(node, f"{node.name} has no `{wanted}`", hint)
        elif isinstance(method, ast.AsyncFunctionDef) or len(method.args.args) != 2:
            self.say(method, f"`{wanted}` takes self and the host", f"write `def {wanted}(self, host):`")
        for name in _UNASKED[self.noun]:
            if name in functions:
                own = {"deadline": "`timeout`", "effective_impact": "`impact`", "again": "`idempotent`"}[name]
                said = f"`{name}` is never asked: the controller reads this file and does not run it"
                self.say(functions[name], said, f"{own} counts", level="warning")

    def _example(self, node: ast.ClassDef, made: Any) -> None:
        from runbook.engine.language import params, source

        shown = node.body[0] if node.body and ast.get_docstring(node) is not None else node
        if not params.description(made):
            self.say(node, f"{node.name} does not say what it does", "write a docstring", level="warning")
            return
        text = params.example(made)
        if not text:
            said = f"{node.name} shows no example"
            self.say(shown, said, f"write `Example:` and `- {self.name}: …` into its docstring", level="warning")
            return
        parsed = source.parse(text, self.file)
        items = parsed.data if isinstance(parsed.data, list) else []
        if parsed.problems or not items or not all(isinstance(item, dict) and self.name in item for item in items):
            self.say(shown, f"the example is no list of `- {self.name}: …`")
            return
        for item in items:
            for problem in _misfits(made, item[self.name]):
                self.say(shown, f"the example does not fit: {problem}")

    def _is_module(self, node: ast.ClassDef) -> bool:
        return any(self._quietly(base) is self.base for base in node.bases)

    def _quietly(self, node: ast.expr) -> Any:
        try:
            return self.names.value(node)
        except Unreadable:
            return None

    def _column(self, line: int, offset: int) -> int:
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return len(text.encode("utf-8")[:offset].decode("utf-8", "replace")) + 1


def _misfits(made: Any, given: Any) -> Iterator[str]:
    from runbook.engine.language import params
    from runbook.engine.language.values import is_templated

    try:
        parameters = params.spread(made, given)
    except params.Wrong as wrong:
        yield str(wrong)
        return
    plain = {name: value for name, value in parameters.items() if not is_templated(value)}
    for each in params.problems(made, plain):
        if each.parameter not in parameters or each.parameter in plain:
            yield str(each)


def _impacts() -> str:
    return ", ".join(f"Impact.{each.name}" for each in Impact)

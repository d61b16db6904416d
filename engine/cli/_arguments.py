"""A module's parameters as words of the command line: `url=http://…`, or a lone value for the first."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from runbook.engine.errors import UserError
from runbook.engine.language import expression, params, source
from runbook.engine.language.kinds import holds_template
from runbook.engine.language.nearest import nearest
from runbook.modules import catalogue
from runbook.modules.declare import Kind, Probe, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def step(name: str) -> type[Step]:
    """Return a step's class, or say which name is near."""
    found: type[Step] = _found(name, "step", catalogue.step_names, catalogue.step)
    return found


def probe(name: str) -> type[Probe]:
    """Return a probe's class, or say which name is near."""
    found: type[Probe] = _found(name, "probe", catalogue.probe_names, catalogue.probe)
    return found


def parameters(cls: type[Step | Probe], words: Sequence[str], *, templates: bool = False) -> dict[str, Any]:
    """Return typed parameters.

    Args:
        cls: the module's class.
        words: NAME=VALUE (the value as in YAML), or values for the first parameter.
        templates: what holds `{{ … }}` is filled in for each host, later.

    Raises:
        UserError: a name is unknown, a value does not fit, or something required is missing.
    """
    known = params.fields(cls)
    given: dict[str, Any] = {}
    loose: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name in known and not loose:
            given[name] = _value(value, name)
        elif equals and name.isidentifier() and not loose and not _takes_words(cls):
            near = nearest(name, known)
            raise UserError(f"`{name}` is no parameter here", mend=f"did you mean `{near}`?" if near else _listed(cls))
        else:
            loose.append(word)
    first = params.first(cls)
    if loose and first is None:
        raise UserError("it takes no parameters")
    if loose and first is not None:
        many = known[first].many
        name, equals, _ = loose[1].partition("=") if len(loose) > 1 and not many else ("", "", "")
        if first in given or (equals and name == first):
            raise UserError(f"`{first}` is given twice, once without its name", mend=_listed(cls))
        if equals and name in known:
            what = f"`{loose[1]}` has a name and stands behind a value that has none"
            raise UserError(what, mend=f"write {shlex.join([f'{first}={loose[0]}', loose[1]])}")
        if len(loose) > 1 and not many:
            raise UserError(f"`{loose[1]}` is one value too many", mend=_listed(cls))
        given[first] = loose if many else _value(loose[0], first)
    given = {name: _template(value) for name, value in given.items()} if templates else given
    try:
        values = params.coerce(cls, given)
        if not holds_template(given):
            params.build(cls, given, rendered=False)
    except params.Wrong as wrong:
        raise UserError(str(wrong), mend=_listed(cls)) from wrong
    if "signatures" not in known or issubclass(cls, Step):  # a step's are filled in with its templates
        return values
    from runbook.engine.language import chosen

    return chosen.resolved(cls, values)


def _takes_words(cls: type[Step | Probe]) -> bool:
    first = params.first(cls)
    return first is not None and params.fields(cls)[first].kind is Kind.ARGV


def _value(text: str, name: str) -> Any:
    if not text:
        return ""
    read = source.parse(text, name)
    if read.problems:
        return text
    return read.data


def _template(value: Any) -> Any:
    """Return a value in which texts that hold `{{ … }}` are templates."""
    if isinstance(value, str) and "{{" in value:
        try:
            return expression.parse(value, template=True)
        except expression.Syntax as error:
            mend = "to have two braces as they are, write {{ '{{' }} for them"
            raise UserError(f"`{value[:80]}` is no template: {error}", mend=mend) from error
    if isinstance(value, dict):
        return {key: _template(each) for key, each in value.items()}
    return [_template(each) for each in value] if isinstance(value, list) else value


def _listed(cls: type[Step | Probe]) -> str:
    words = [name if one.required else f"[{name}]" for name, one in params.fields(cls).items()]
    return f"parameters: {' '.join(words)}"


def _found(name: str, noun: str, names: Callable[[], list[str]], load: Callable[[str], Any]) -> Any:
    if name not in names():
        from runbook.engine.language.own import enlist

        enlist.ask(name)
    if name not in names():
        near = nearest(name, names())
        raise UserError(
            f"there is no {noun} `{name}`",
            mend=f"did you mean `{near}`?" if near else f"there are {', '.join(names())}",
        )
    return load(name)

"""Our walker and jsonschema agree: on documents made from the schema, whole and damaged."""

from functools import cache

import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runbook.engine.language import schema
from runbook.engine.language.validate import validate

TEXTS = [
    "x",
    "30s",
    "1h30m",
    "5",
    "0",
    "85%",
    "5%",
    "50GB",
    "{{x}}",
    "{{",
    "auto",
    "low",
    "critical",
    "observe",
    "immediate",
    "sequence",
    "all",
    "any",
    "true",
    "*",
    "@daily",
    "A_b",
    "a-b",
    "",
    "3 per 1h",
    "2 per 24h",
    "0 per 1h",
    "2 minuts",
    "*/5 * * * *",
    "30 s",
    "x\n",
    "30s\n",
    "é",
]
JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 5), st.floats(-2, 300, allow_nan=False), st.sampled_from(TEXTS),
    st.just([]), st.just({}), st.just(["x"]), st.just([3]), st.just({"name": "x"}), st.just({"argv": "x"}),
)  # fmt: skip
SETTINGS = settings(
    deadline=None,
    database=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@cache
def judge() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema.document())


def follow(part: dict) -> dict:
    while "$ref" in part:
        part = schema.resolve(schema.core(), part["$ref"])
    return part


class Maker:
    """Draws a value for a part of the schema; now and then it draws anything instead."""

    def __init__(self, draw, damage: int) -> None:
        self.draw = draw
        self.damage = damage  # of a hundred values

    def value(self, part: dict, depth: int = 0):
        if self.damage and self.draw(st.integers(1, 100)) <= self.damage:
            return self.draw(JUNK)
        part = follow(part)
        if "anyOf" in part:
            choices = [each for each in part["anyOf"] if depth < 6 or "array" not in str(each.get("type"))]
            return self.value(self.draw(st.sampled_from(choices or part["anyOf"])), depth)
        if "enum" in part:
            return self.draw(st.sampled_from(part["enum"]))
        if "const" in part:
            return part["const"]
        kind = part.get("type", "string")
        kind = self.draw(st.sampled_from(kind)) if isinstance(kind, list) else kind
        return getattr(self, kind)(part, depth)

    def string(self, part: dict, depth: int):
        fitting = [text for text in TEXTS if text and _matches(part, text)]
        return self.draw(st.sampled_from(fitting or ["x"]))

    def integer(self, part: dict, depth: int):
        return self.draw(st.integers(part.get("minimum", 0), part.get("maximum", 9)))

    def number(self, part: dict, depth: int):
        return self.draw(st.sampled_from([0, 1, 0.5]))

    def boolean(self, part: dict, depth: int):
        return self.draw(st.booleans())

    def null(self, part: dict, depth: int):
        return None

    def array(self, part: dict, depth: int):
        size = self.draw(st.integers(part.get("minItems", 0), 1 if depth > 4 else 2))
        return [self.value(part.get("items", {}), depth + 1) for _ in range(size)]

    def object(self, part: dict, depth: int):
        properties = part.get("properties", {})
        exclusive = [each["required"][0] for each in part.get("oneOf", ())]
        optional = [
            key for key in properties if key not in exclusive and (depth < 5 or "items" not in str(properties[key]))
        ]
        keys = set(part.get("required", ())) | set(self.draw(st.lists(st.sampled_from(optional or ["x"]), max_size=3)))
        keys &= set(properties)
        if exclusive:
            keys.add(self.draw(st.sampled_from(exclusive)))
        if self.damage and self.draw(st.integers(1, 100)) <= self.damage:
            keys |= {self.draw(st.sampled_from([*properties, "unknown"]))}
        if self.damage and self.draw(st.integers(1, 100)) <= self.damage:
            keys -= {self.draw(st.sampled_from([*properties, "unknown"]))}
        made = {key: self.value(properties.get(key, {}), depth + 1) for key in sorted(keys)}
        if isinstance(part.get("additionalProperties"), dict) and depth < 6:
            made["a"] = self.value(part["additionalProperties"], depth + 1)
        return made


def _matches(part: dict, text: str) -> bool:
    return jsonschema.Draft202012Validator({key: part[key] for key in part.keys() & {"pattern", "minLength"}}).is_valid(
        text
    )


@st.composite
def documents(draw, damage: int = 0):
    return Maker(draw, damage).value(schema.core())


@SETTINGS
@given(documents())
def test_documents_made_from_the_schema_are_valid_to_both(document):
    assert validate(document, schema.core()) == []
    assert judge().is_valid(document)


@SETTINGS
@given(documents(damage=4))
def test_damaged_documents_get_the_same_verdict_from_both(document):
    problems = validate(document, schema.core())
    assert (not problems) is judge().is_valid(document), problems


@SETTINGS
@given(documents(damage=25))
def test_ruined_documents_get_the_same_verdict_from_both(document):
    problems = validate(document, schema.core())
    assert (not problems) is judge().is_valid(document), problems


@SETTINGS
@given(documents(damage=6))
def test_every_problem_has_words_and_a_place(document):
    for problem in validate(document, schema.core()):
        assert problem.message
        assert "given schemas" not in problem.message
        value = document
        for part in problem.path[:-1]:
            value = value[part]

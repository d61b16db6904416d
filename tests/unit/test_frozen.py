"""`@frozen` makes what `@dataclass(frozen=True)` makes."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import pytest

from runbook.modules.frozen import frozen


def both(body):
    own = {name: value for name, value in body.__dict__.items() if name not in {"__dict__", "__weakref__"}}
    return [decorate(type("Body", (), dict(own))) for decorate in (frozen, dataclasses.dataclass(frozen=True))]


class Body:
    kind: ClassVar[str] = "k"
    x: int
    y: tuple = (1,)
    z: dict = dataclasses.field(default_factory=dict)


def test_instances_behave_alike():
    for cls in both(Body):
        one = cls(1, z={"a": 1})
        assert (one.x, one.y, one.z, one.kind) == (1, (1,), {"a": 1}, "k")
        assert one == cls(1, (1,), {"a": 1})
        assert one != cls(2)
        assert repr(one) == "Body(x=1, y=(1,), z={'a': 1})"
        assert dataclasses.replace(one, x=5).x == 5
        assert dataclasses.asdict(one) == {"x": 1, "y": (1,), "z": {"a": 1}}
        assert [field.name for field in dataclasses.fields(cls)] == ["x", "y", "z"]
        assert dataclasses.is_dataclass(cls)
        assert hash(cls(1, (), ())) == hash(cls(1, (), ()))
        assert cls(1).z is not cls(1).z
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.x = 2
        with pytest.raises(dataclasses.FrozenInstanceError):
            del one.x
        for args, given in (((), {}), ((1, 2, 3, 4), {}), ((1,), {"x": 1}), ((1,), {"w": 1})):
            with pytest.raises(TypeError):
                cls(*args, **given)


def test_fields_are_inherited_and_defaults_come_last():
    @frozen
    class Base:
        a: int

    @frozen
    class Derived(Base):
        b: int = 2

        def __post_init__(self) -> None:
            assert self.a != 13

    assert Derived(1) == Derived(1, 2)
    assert Derived.__match_args__ == ("a", "b")
    with pytest.raises(AssertionError):
        Derived(13)
    with pytest.raises(TypeError, match="follows b"):

        @frozen
        class Wrong(Derived):
            c: int

    with pytest.raises(TypeError, match="mutable default"):

        @frozen
        class Mutable:
            a: list = []  # noqa: RUF012

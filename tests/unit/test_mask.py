import base64
import json
from urllib.parse import quote

import pytest

from runbook.modules import mask
from runbook.modules.acting.hands import HEAD, TAIL, Output
from runbook.modules.mask import MASK

SECRET = "p@ss w0rd/ä\"'\\"


@pytest.mark.parametrize(
    "printed",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        json.dumps(SECRET).replace("/", "\\/"),
        repr(SECRET),
        quote(SECRET),
        quote(SECRET, safe="").lower(),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(b"user:" + SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_masked_however_it_is_printed(printed):
    masked = mask.of({"stdin": SECRET}, ["stdin"]).text(f"<{printed}>")
    assert MASK in masked
    assert printed[6:14] not in masked


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ("Bearer abcdefgh-12", "abcdefgh-12"),
        ("postgres://svc:hunter2@db/x", "hunter2"),
        ("-----BEGIN-----\nMIIEvQIBADAN\n-----END-----\n", "MIIEvQIBADAN"),
    ],
)
def test_the_part_of_a_value_that_is_the_secret_is_masked_alone(value, secret):
    assert mask.of({"env": {"A": value}}, ["env.A"]).text(f"got {secret}.") == "got ***."


def test_of_a_mapping_only_the_named_value_is_masked():
    masked = mask.of({"env": {"TOKEN": "s3cr3t", "MODE": "production"}}, ["env.TOKEN"])
    assert masked.text("s3cr3t in production") == "*** in production"


def test_a_whole_mapping_is_masked_where_nobody_says_which_value_holds_the_secret():
    masked = mask.of({"env": {"TOKEN": "s3cr3t-t0k3n", "N": "1"}}, ["env"])
    assert masked.text("s3cr3t-t0k3n 1") == "*** 1"


def test_all_texts_of_a_value_are_masked():
    masked = mask.of({"stdin": "s3cr3t"}, ["stdin"])
    assert masked.value({"a": ["x s3cr3t", 1, None], "s3cr3t": ("y",)}) == {"a": ["x ***", 1, None], "***": ["y"]}
    assert mask.Mask().value({"a": "s3cr3t"}) == {"a": "s3cr3t"}


def test_parameters_that_are_not_there_or_too_short_mask_nothing():
    assert mask.of({"stdin": "abc", "n": 5}, ["stdin", "n", "env", "stdin.x"]).text("abc 5") == "abc 5"


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_a_secret_that_arrives_in_pieces_is_masked(size):
    output = Output(mask.of({"stdin": "s3cr3t one"}, ["stdin"]))
    whole = b"begin s3cr3t one, s3cr3t, s3cr3t one end s3cr3t one"
    for at in range(0, len(whole), size):
        output.add(whole[at : at + size])
    assert output.text() == "begin ***, s3cr3t, *** end ***"


def test_a_secret_is_masked_before_the_output_is_cut():
    output = Output(mask.of({"stdin": "s3cr3t one two"}, ["stdin"]))
    for _ in range(20_000):
        output.add(b"s3cr3t one two ")
    assert "s3cr3t" not in output.text()
    assert "two" not in output.text()
    assert HEAD + TAIL - 100 < len(output.text()) < HEAD + TAIL + 100

"""What is taken out of evidence, and what stays."""

import time

import pytest

from runbook.modules.evidence.redaction import Redaction, legible
from runbook.modules.mask import Mask

SECRET = "s3cr3t" + "Va1ue"  # in two parts: no secret stands in a file
AWS = "AKIA" + "ABCDEFGHIJKLMNOP"
HF = "hf_" + "abcdefghijklmnopQRSTUVWX"


@pytest.fixture
def redaction():
    return Redaction((), Mask())


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        (f"HF_TOKEN={HF}", HF),
        (f"downloading with {HF} from the hub", HF),
        (f"aws_access_key_id = {AWS}", AWS),
        (f"aws_secret_access_key = {SECRET}/+x", SECRET),
        (f"postgres://ops:{SECRET}@db.example/jobs", SECRET),
        (f"Authorization: Bearer {SECRET}.{SECRET}", SECRET),
        (f"{{'Authorization': 'Basic {SECRET}=='}}", SECRET),
        (f'{{"headers": {{"x-api-key": "{SECRET}"}}}}', SECRET),
        (f'"db_password": "{SECRET}",', SECRET),
        (f"password: '{SECRET} with blanks'", SECRET),
        (f"dbPassword={SECRET}", SECRET),
        (f"4711 1 0 S 100 python serve.py --hf-token {SECRET} --port 8000", SECRET),
        (f"4711 python serve.py --api-key={SECRET}", SECRET),
        (f"curl -u ops:{SECRET} http://127.0.0.1/", SECRET),
        (f"Set-Cookie: session={SECRET}; Path=/", SECRET),
        (f"client_secret => {SECRET}", SECRET),
        (f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----\nafter", SECRET),
        (f"-----BEGIN PRIVATE KEY-----\n{SECRET}\ncut off", SECRET),
        (f"{SECRET}\nQUJD\n-----END PRIVATE KEY-----\nafter", SECRET),
        ("eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "dozjgNryP4J3jVmNHl0w5N"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_taken_out(redaction, line, hidden):
    text, count = redaction.text(line)
    assert hidden not in text
    assert "***" in text
    assert count >= 1


@pytest.mark.parametrize(
    "line",
    [
        "max_tokens: 4096, tokens=512, num_token: 17, token: null",
        "Token indices sequence length is longer than the maximum: 4097 > 4096",
        "tokenizer: /models/llama/tokenizer.json",
        "NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, name=python, GPU has fallen off the bus.",
        "loaded https://huggingface.co/meta-llama/Llama-3 in 3 s",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "step 100: loss 2.31, lr 1e-4, keys: q_proj k_proj",
        "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----",
    ],
)
def test_what_a_person_needs_at_night_stays(redaction, line):
    assert redaction.text(line) == (line, 0)


def test_the_runbooks_own_secrets_are_taken_out_however_they_are_written():
    redaction = Redaction(["correct horse/battery", "ab"], Mask())
    text, _ = redaction.text('a correct horse/battery b "correct horse\\/battery" correct%20horse%2Fbattery ab')
    assert text == 'a *** b "***" *** ab'


def test_control_characters_are_spelled_out_and_lines_stay_lines():
    assert (
        legible("a\x1b[31mred\x07\r\n\tb\x9b2J \u202egnp.exe\rz") == "a\\x1b[31mred\\x07\n\tb\\x9b2J \\u202egnp.exe\\rz"
    )


@pytest.mark.parametrize(
    "line", ["-" * 200_000, "token" * 40_000, "=" * 200_000, "a:" * 100_000, "://" * 70_000, " -" * 100_000]
)
def test_no_line_makes_it_slow(redaction, line):
    began = time.process_time()
    redaction.text(line)
    assert time.process_time() - began < 5

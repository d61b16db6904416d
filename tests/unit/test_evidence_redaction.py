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
        (f"password: |\n  {SECRET}\nport: 80", SECRET),
        (f"db:\n  - password: >-\n      first\n      {SECRET}\n    port: 80", SECRET),
        (f"      41> password: |\n      42    {SECRET}\n      43  port: 80", SECRET),
        (f"4711 sshpass -p {SECRET} ssh ops@db", SECRET),
        (f"4711 sshpass -p{SECRET} ssh ops@db", SECRET),
        (f"4711 mysql -u root -p{SECRET} jobs", SECRET),
        (f"4711 mysqldump --password {SECRET} jobs", SECRET),
        (f"4711 redis-cli -h db -a {SECRET} ping", SECRET),
        (f"4711 serve --pass {SECRET} --port 80", SECRET),
        (f"['serve', '--db-password', '{SECRET}']", SECRET),
        (f"smtp://mail?pass={SECRET}&port=25", SECRET),
        (f"DB_PASS={SECRET}", SECRET),
        (f"smtp_pass: {SECRET}", SECRET),
        (f'{{"pass": "{SECRET}"}}', SECRET),
        (f"postgres://ops:p@{SECRET}@db.example/jobs?mail=a@b", SECRET),
        (f'"Authorization": ["Bearer {SECRET}"]', SECRET),
        (f"('Authorization', 'Bearer {SECRET}')", SECRET),
        (f'{{\\"password\\": \\"{SECRET}\\"}}', SECRET),
        (f"password=a,b;{SECRET}", SECRET),
        (f"password: 'begins, and the line ends {SECRET}\nport: 80", SECRET),
        (f"password=12345-{SECRET}", SECRET),
        (f"line 9 is not there any more; these are the last\n{SECRET}\nQUJD\n-----END PRIVATE KEY-----\n", SECRET),
        ("eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "dozjgNryP4J3jVmNHl0w5N"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_taken_out(redaction, line, hidden):
    text, count = redaction.text(line)
    assert hidden not in text
    assert "***" in text
    assert count >= 1


TOKENS = [  # each in two parts
    ("api_org_", "abcdefghijklmnopQRSTUVWX"), ("hf_oauth_", "eyJhbGciOiJFZERTQSJ9.abc"), ("r8_", "abcdefghijklmnopQRSTUVWX01"),
    ("gsk_", "abcdefghijklmnopQRSTUVWX01"), ("xai-", "abcdefghijklmnopQRSTUVWX01"), ("pplx-", "abcdefghijklmnopQRSTUVWX01"),
    ("fw_", "abcdefghijklmnopQRSTUVWX"), ("tgp_v1_", "abcdefghijklmnop-QRSTUVWX"), ("lsv2_pt_", "0123456789abcdef0123_0123456789"),
    ("pcsk_", "abcde_fghijklmnopqrstuvwxyz"), ("ak-", "abcdefghijklmnopqrstuv"), ("wandb_v1_", "abcdefghijklmnopqrstuvwxyz"),
    ("glrt-", "abcDEF12345678901234"), ("dckr_pat_", "abcdefghijklmnopqrstuvwxyz0"), ("pypi-", "AgEIcHlwaS5vcmcCJGFiY2RlZmdoLTEyMzQ"),
    ("ya29.", "a0AfH6SMBabcdefghijklmnop"), ("GOCSPX-", "abcDEF123456ghiJKL789mnoPQR"), ("dop_v1_", "0123456789abcdef" * 4),
    ("dapi", "0123456789abcdef" * 2), ("hvs.", "CAESIabcdefghijklmnopqrstuvwxyz"), ("pul-", "0123456789abcdef" * 2 + "01234567"),
    ("tskey-auth-", "abcdefCNTRL-abcdefghijklmnop"), ("glsa_", "abcdefghijklmnopqrstuvwxyz012345_abcdef01"), ("SG.", "abcdefghijklmnopqrstuv.abcdefghijklmnopqrstuv"),
    ("sk_live_", "51H8abcdefGHIJKLmnop1234"), ("whsec_", "abcdef0123456789abcdef0123456789"), ("xapp-1-", "A0123456789-1234567890123-abcdef"),
    ("123456789:AA", "abcdefghijklmnopqrstuvwxyz0123456"), ("https://hooks.slack.com/services/", "T00000000/B00000000/XXXXXXXXXXXX"),
    ("https://discord.com/api/webhooks/123456789012345678/", "abcDEF-ghiJKL_mnoPQRstu"), ("https://acme.webhook.office.com/webhookb2/", "a-b@c-d/IncomingWebhook/0123456789abcdef0123/e-f"),
    ("root:$6$", "abcdefgh$0123456789abcdefghijklmnop"), ("alice:$2b$", "12$abcdefghijklmnopqrstuuv0123456789"),
]  # fmt: skip


@pytest.mark.parametrize(("begins", "rest"), TOKENS, ids=lambda part: part[:16])
def test_tokens_of_many_services_are_known_by_how_they_look(redaction, begins, rest):
    text, count = redaction.text(f"2026-11-23 01:02:03 said {begins}{rest} and went on")
    assert rest[-8:] not in text
    assert text.startswith("2026-11-23 01:02:03 said ")
    assert text.endswith(" and went on")
    assert count == 1


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        (f"Config(token=SecretStr('{SECRET}'), port=80)", SECRET),
        (f"--hf-token {SECRET} --port 8000", SECRET),
        (f"machine api.wandb.ai\n  login user\n  password {SECRET}\n", SECRET),
        (f"<db><password>{SECRET}</password></db>", SECRET),
        (f"https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Signature={SECRET}", SECRET),
        (f"https://a.blob.core.windows.net/c?sv=2022-11-02&sig={SECRET}%3D&se=1", SECRET),
        (f"https://cdn.example/x?Expires=1&Signature={SECRET}&Key-Pair-Id=K", SECRET),
        (f"AccountName=a;AccountKey={SECRET}==;EndpointSuffix=b", SECRET),
        (f'{{"auths": {{"r.example": {{"auth": "{SECRET}"}}}}}}', SECRET),
        (f"https://{SECRET}{SECRET}@sentry.example/4", SECRET),
        (f"db.example:5432:jobs:ops:{SECRET}", SECRET),
        (f"bindpw {SECRET}", SECRET),
        (f"GITHUB_PAT={SECRET}", SECRET),
        (f"ENCRYPTION_KEY={SECRET}", SECRET),
        (f"network={{ psk={SECRET} }}", SECRET),
        (f"login: {{user: a, pass: {SECRET}}}", SECRET),
        (f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n{SECRET}\n-----END PGP PRIVATE KEY BLOCK-----\n", SECRET),
        (f"PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\n{SECRET}\nPrivate-MAC: 0a1b\n", SECRET),
    ],
)
def test_secrets_where_other_programs_write_them_are_taken_out(redaction, line, hidden):
    text, count = redaction.text(line)
    assert hidden not in text
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
        "the forward pass: 3 of 4, backward pass: slow; bypass=lo, encompass=all",
        "auth:\n  password: |\nport: 80\nhost: db",
        "mysql -p jobs; ssh -p 2222 db; python -m pytest -p no:cacheprovider",
        "git@github.com:org/repo, http://127.0.0.1:8000/v1?to=a@b",
        "daemon:*:20228:0:99999:7:::; usage: serve <password>; the user or password part of it; compat=1, path=/a",
        "cost $1$ a page, task-0123456789, s.endswith, key-value, s3://bucket@eu/x, sk-1, fw_size=3, design_key_points",
        "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----",
    ],
)
def test_what_a_person_needs_at_night_stays(redaction, line):
    assert redaction.text(line) == (line, 0)


def test_what_stands_beside_a_block_of_a_secret_stays(redaction):
    text = f"db:\n  password: |\n    {SECRET}\n    more\n  port: 80\nhost: x\n"
    assert redaction.text(text) == ("db:\n  password: |\n    ***\n  port: 80\nhost: x\n", 1)


def test_the_runbooks_own_secrets_are_taken_out_however_they_are_written():
    redaction = Redaction(["correct horse/battery", "ab"], Mask())
    text, _ = redaction.text('a correct horse/battery b "correct horse\\/battery" correct%20horse%2Fbattery ab')
    assert text == 'a *** b "***" *** ab'


def test_control_characters_are_spelled_out_and_lines_stay_lines():
    assert (
        legible("a\x1b[31mred\x07\r\n\tb\x9b2J \u202egnp.exe\rz") == "a\\x1b[31mred\\x07\n\tb\\x9b2J \\u202egnp.exe\\rz"
    )


@pytest.mark.parametrize(
    "line",
    [
        *("-" * 200_000, "token" * 40_000, "=" * 200_000, "a:" * 100_000, "://" * 70_000, " -" * 100_000),
        *("eyJ" + "A" * 200_000, "eyJ-" * 50_000, "-eyJhbGciOiJI" * 15_000, "eyJhbGciOiJI.eyJ" * 12_000),
        *("mysql -" * 30_000, "sshpass " * 25_000, "password: |\n" * 15_000, "    password: |\n     x\n" * 8_000),
        *(' "\\' * 60_000, "A\n" * 100_000, "://a:@" * 30_000, "://a:" + "@" * 200_000, "pass" * 50_000),
        *("<" * 200_000, "login a " * 25_000, "a:*:b" * 40_000, "?sig" * 50_000, "token=a('" * 22_000, "$1$" * 70_000),
        *("s." * 100_000, "1" * 200_000, "dp.st." * 30_000, "://" + "a" * 200_000, "Private-Lines: 1\n" * 11_000),
    ],
    ids=lambda line: line[:14].encode("unicode_escape").decode(),
)
def test_no_line_makes_it_slow(redaction, line):
    began = time.process_time()
    redaction.text(line)
    assert time.process_time() - began < 5

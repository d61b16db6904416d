"""A runbook whose name is made of vars: several deployments by one file, each with its own incidents and limits."""

import pytest

BOOK = """
name: deploy {{ model }}
vars: {model: org/a}
operations:
  - name: fetch
    command: [test, -e, "{{ runbook.dir }}/{{ model }}"]  # noqa: RB035
    timeout: 10s
detectors:
  - name: not there
    error: exit
    limit: 1 per 1d
    recover: [{command: ["true"]}]  # noqa: RB035
    retry: {strategy: immediate, attempts: 2}
"""


def test_two_deployments_by_one_file_have_incidents_and_limits_of_their_own(cli):
    path = cli.write("deploy.yaml", BOOK)
    for model in ("org/a", "org/b"):
        ran = cli.json("apply", path, "-e", f"model={model}")
        assert ran.json["runs"][0]["runbook"] == f"deploy {model}"
        assert [step["state"] for step in ran.incidents["not there"]["steps"]] == ["done"]
    told = cli.json("status").json
    assert sorted(one["runbook"] for one in told["incidents"]) == ["deploy org/a", "deploy org/b"]
    again = cli.json("apply", path, "-e", "model=org/b")
    assert "limit reached: 1 recovery" in str(again.incidents["not there"])
    why = cli("explain", "not there", "localhost", "--runbook", "deploy org/b")
    assert "deploy org/b" in why.out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("deploy {{ host }}", "is made of host, and only vars are known here"),
        ("deploy {{ modell }}", "is made of modell, and only vars are known here"),
        ("deploy {{ model", "'{{' is not closed"),
        ("'{{ nothing }}'", "which is no name"),
    ],
)
def test_a_name_that_can_not_be_made_is_told(cli, name, said):
    text = BOOK.replace("deploy {{ model }}", name).replace("{model: org/a}", "{model: org/a, nothing: ' '}")
    ran = cli("apply", cli.write("deploy.yaml", text))
    assert ran.exit_code == 1
    assert said in " ".join((ran.out + ran.err).split())

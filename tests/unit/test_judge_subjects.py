"""Several records of one subject, such as a host by its GPUs, are one verdict."""

import pytest

from runbook.engine.detect.judge import judge
from runbook.engine.language import expression
from runbook.engine.model import UNKNOWN, Detector, Record


def judged(*actions, subject="host"):
    detector = Detector(
        "ill", "gpu", {}, (), when=expression.parse("action == 'reset'", template=False),
        subject=expression.parse(subject, template=False),
    )  # fmt: skip
    records = [Record(str(index), {"index": index, "action": action}) for index, action in enumerate(actions)]
    return judge(detector, records, {"host": "gpu07"}, 0.0, events=False)


def test_a_healthy_gpu_does_not_clear_what_another_of_its_host_opens():
    [verdict] = judged("none", "reset", "none", "reset")
    assert (verdict.subject, verdict.holds, verdict.clear) == ("gpu07", True, False)
    assert verdict.record.fields["index"] == 1


@pytest.mark.parametrize(
    ("actions", "holds", "clear"),
    [
        (("none", "none"), False, True),
        (("none", UNKNOWN), UNKNOWN, UNKNOWN),
        (("reset", UNKNOWN), True, False),
    ],
)
def test_a_host_is_well_when_all_of_its_gpus_are(actions, holds, clear):
    [verdict] = judged(*actions)
    assert (verdict.holds, verdict.clear) == (holds, clear)


def test_each_gpu_for_itself_is_a_verdict_of_its_own():
    assert [verdict.holds for verdict in judged("none", "reset", subject="index")] == [False, True]

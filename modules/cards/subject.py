"""Which GPUs a step acts on: those that a parameter names, or the one that the incident is about."""

from typing import Any, List, Mapping, Optional, Sequence

from runbook.modules import nvml
from runbook.modules.declare import Absent, Failed, Refused, Unclear
from runbook.modules.host import Host

ALL = "all"
_GONE = "only a reboot may bring it back"

Reading = Mapping[str, Any]


def chosen(host: Host, named: Optional[str]) -> List[Reading]:
    """Return what the driver tells of the GPUs that a step is for, closely; each has its `uuid`.

    Args:
        host: whose.
        named: an index, a UUID, a PCI address, or `all`; None = the incident's own GPU, by its UUID where the record
            that opened it had one: numbers move when a card is gone.

    Raises:
        Failed: there is no such GPU, or it can't be reached.
        Refused: nothing says which.
    """
    try:
        readings = host.gpus(closely=True)
    except (Absent, Unclear) as error:
        raise Failed(str(error)) from error
    if named is not None and named.strip().lower() == ALL:
        return [one for one in readings if _reached(one)]
    about = host.about if named is None else {"subject": named}
    if named is None and not about.get("incident"):
        raise Refused(f"`gpu` says which: write {ALL}, a number, a UUID or a PCI address; {_listed(readings)}")
    found = _named(readings, about)
    if found is None:
        what = (
            f"no GPU {named}" if named is not None else f"the incident's subject, `{about.get('subject')}`, is no GPU"
        )
        raise Refused(f"{what}; {_listed(readings)}")
    if not _reached(found):
        raise Failed(f"{called(found)} can't be reached: {found.get('error') or 'it is lost'}; {_GONE}")
    return [found]


def called(reading: Reading) -> str:
    """Return a GPU's name for people: its number, and its name for good."""
    return f"GPU {reading['index']}" + (f" ({reading['uuid']})" if reading.get("uuid") else "")


def _named(readings: Sequence[Reading], about: Mapping[str, Any]) -> Optional[Reading]:
    uuid, subject = str(about.get("uuid") or ""), str(about.get("subject") or "")
    place = nvml.address(str(about.get("pci") or "")) or nvml.address(subject)
    for one in readings:
        if str(one.get("uuid", "")).lower() in {uuid.lower(), subject.lower()} - {""}:
            return one
    for one in readings:
        if place is not None and one.get("pci") == place:
            return one
    for one in readings:  # one that is known by its UUID, and answers no more, has its old number
        if subject.isdigit() and one["index"] == int(subject) and not (uuid and one.get("uuid")):
            return one
    return None


def _reached(reading: Reading) -> bool:
    return not reading.get("lost") and "uuid" in reading


def _listed(readings: Sequence[Reading]) -> str:
    return "there are " + ", ".join(called(one) for one in readings) if readings else "the driver tells of none"

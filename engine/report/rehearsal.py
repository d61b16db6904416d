"""The report of `runbook test`: what held, what did not (expected against actual), and what no case reaches."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runbook.engine.report import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook.engine.rehearse.play import Happened, Played
    from runbook.engine.rehearse.suite import Coverage, Result
    from runbook.engine.report.paint import Paint

_STYLES = {"-": "red", "+": "green", " ": "dim"}
_SHOWN = frozenset({
    *("incident.opened", "incident.ended", "incident.pending", "guard.refused", "step.begun", "step.ended"),
    *("notified", "look.unknown", "attempt.ended", "attempt.refused", "operation.ended", "pool.switched"),
})  # fmt: skip


def lines(paint: Paint, results: Sequence[Result], verbosity: int) -> list[str]:
    """Return the lines about the cases of one file."""
    found: list[str] = []
    for result in results:
        mark = paint("✔", "green") if result.ok else paint("✘", "red")
        played = result.played
        lasted = f"{words.duration(played.lasted)} in {words.amount(played.looks, 'look')}" if played else ""
        if verbosity >= 0 or not result.ok:
            found.append(f"  {mark} {words.printable(result.name)}  {paint(lasted, 'dim')}".rstrip())
        if result.error:
            found.append(f"      {paint('error', 'red')}  {words.printable(result.error)}")
        for difference in result.differences:
            found.append(f"      {paint(difference.what, 'bold')}  {paint(f'{result.file}:{result.line}', 'dim')}")
            found += [f"        {paint(words.printable(line), _STYLES[line[0]])}" for line in difference.lines]
        if result.differences:
            found.append(f"      {paint('- expected, + came', 'dim')}")
        if played is not None and (verbosity > 0 or (verbosity == 0 and result.differences)):
            found += [f"      {line}" for line in timeline(paint, played)]
    return found


def timeline(paint: Paint, played: Played) -> list[str]:
    """Return what happened in a case, in its order."""
    shown = [told for told in played.told if told.kind in _SHOWN]
    if not shown:
        return [paint("nothing happened: no detector fired, no step was begun", "dim")]
    return [f"{paint(f'{words.duration(told.at):>8}', 'cyan')}  {told_line(told)}" for told in shown]


def told_line(told: Happened) -> str:
    """Return what happened as one line."""
    about = " ".join(part for part in (told.host, told.detector or told.operation, told.subject) if part)
    data = told.data
    said = {
        "attempt.refused": f"attempt refused{_because(data)}",
        "pool.switched": f"{data.get('pool')} goes from {data.get('from')} to {data.get('to')}",
        "incident.ended": f"{data.get('to')}{_because(data)}",
        "incident.pending": f"pending, must hold {words.duration(float(data.get('hold') or 0))}",
        "guard.refused": f"refused by {data.get('guard')}{_because(data)}",
        "step.begun": f"begins {data.get('title') or data.get('module')}",
        "step.ended": f"{data.get('title') or data.get('module')} {data.get('status')}{_error(data)}",
        "attempt.ended": f"attempt {data.get('attempt')} {data.get('status')}{_error(data)}",
        "operation.ended": f"operation {data.get('state')}{_error(data)}",
        "notified": f"notified: {data.get('message')}",
        "look.unknown": f"unknown{_because(data)}",
    }.get(told.kind, told.kind.replace(".", " "))
    return f"{words.printable(about)}: {words.printable(said)}"


def _because(data: Any) -> str:
    return f": {data['reason']}" if data.get("reason") else ""


def _error(data: Any) -> str:
    return f": {data['error']}" if data.get("error") else ""


def coverage_lines(paint: Paint, covered: Coverage) -> list[str]:
    """Return what of a runbook no case reaches."""
    idle = [name for name, hit in covered.detectors if not hit]
    untaken = [(name, number, title) for name, number, title, hit in covered.rungs if not hit]
    fired = f"{sum(hit for _, hit in covered.detectors)} of {words.amount(len(covered.detectors), 'detector')} fired"
    taken = f"{sum(hit for *_, hit in covered.rungs)} of {words.amount(len(covered.rungs), 'rung')} taken"
    told = ", ".join((fired, taken) if covered.rungs else (fired,))
    found = [f"  {covered.share:.0%} of {words.printable(covered.file)}: {told}"]
    found += [f"    {paint('never fired', 'yellow')}  {words.printable(name)}" for name in idle]
    found += [
        f"    {paint('never taken', 'yellow')}  {words.printable(name)}: rung {number + 1}, {words.printable(title)}"
        for name, number, title in untaken
        if name not in idle
    ]
    return found


def total(paint: Paint, results: Sequence[Result], files: int, seconds: float) -> str:
    """Return the last line."""
    failed = sum(not result.ok for result in results)
    held = f"{words.amount(len(results), 'case')} in {words.amount(files, 'file')}, {words.duration(seconds)}"
    if failed:
        return paint(f"{failed} of {held}: failed", "red")
    return paint(f"{held}: all as expected", "green")


def document(results: Sequence[Result], covered: Sequence[Coverage], seconds: float) -> dict[str, Any]:
    """Return all of it as one JSON document."""
    return {
        "schema": 1,
        "exit_code": int(any(not result.ok for result in results)),
        "duration_s": round(seconds, 3),
        "cases": [
            {
                "file": result.file,
                "line": result.line,
                "name": result.name,
                "state": "ok" if result.ok else "error" if result.error else "failed",
                "error": result.error or None,
                "differences": [{"what": each.what, "lines": list(each.lines)} for each in result.differences],
                "lasted_s": result.played.lasted if result.played else None,
                "looks": result.played.looks if result.played else 0,
            }
            for result in results
        ],
        "coverage": [
            {
                "file": each.file,
                "share": round(each.share, 4),
                "never_fired": [name for name, hit in each.detectors if not hit],
                "never_taken": [
                    {"detector": name, "rung": number + 1, "title": title}
                    for name, number, title, hit in each.rungs
                    if not hit
                ],
            }
            for each in covered
        ],
    }


def junit(results: Sequence[Result], seconds: float) -> str:
    """Return the results as JUnit's XML, which CI systems read."""
    from xml.etree import ElementTree as ET

    failed, broken = sum(bool(each.differences) for each in results), sum(bool(each.error) for each in results)
    root = ET.Element("testsuites", name="runbook test", tests=str(len(results)), failures=str(failed),
                       errors=str(broken), time=f"{seconds:.3f}")  # fmt: skip
    for file in dict.fromkeys(result.file for result in results):
        mine = [result for result in results if result.file == file]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=_xml(file),
            tests=str(len(mine)),
            failures=str(sum(bool(each.differences) for each in mine)),
            errors=str(sum(bool(each.error) for each in mine)),
            skipped="0",
            time=f"{sum(each.seconds for each in mine):.3f}",
        )
        for result in mine:
            case = ET.SubElement(suite, "testcase", name=_xml(result.name), classname=_xml(file), file=_xml(file),
                                  line=str(result.line), time=f"{result.seconds:.3f}")  # fmt: skip
            if result.error:
                ET.SubElement(case, "error", message=_xml(result.error))
            if result.differences:
                what = ", ".join(each.what for each in result.differences)
                failure = ET.SubElement(case, "failure", message=f"not as expected: {what}")
                text = [line for each in result.differences for line in (each.what, *each.lines)]
                failure.text = _xml("\n".join(text))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _xml(text: str) -> str:
    """Spell out what XML can't hold."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", lambda hit: ascii(hit[0])[1:-1], text)

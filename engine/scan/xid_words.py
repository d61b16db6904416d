"""What the codes of the NVIDIA driver mean, in words for whoever is woken: its table has their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from runbook.engine.language.signatures import Xid

_COPY: Final = "An engine that copies memory for programs failed; what it copied is lost."
_VIDEO: Final = "An engine for pictures and video failed; the program that used it ended."
_FIRMWARE: Final = (
    "The GPU's own firmware (GSP) does not answer; nothing can be started or ended on it, and nvidia-smi hangs."
)
_LINK: Final = "A link between GPUs (NVLink) failed; transfers over it stop, and collectives hang."
_MEANINGS: Final = {
    8: "The GPU did not get on with a program's work in time.",
    13: "A program did on the GPU what it can't do (a bad address or instruction): mostly a bug of the program.",
    31: "A program touched GPU memory that is not there, an illegal memory access: mostly a bug of the program.",
    32: "The GPU was given commands that it could not read.",
    43: "The GPU stopped a program's work; others go on.",
    45: "A program's work was taken off the GPU, after another error or because it was killed.",
    46: "The GPU hangs.",
    48: "A cell of the GPU's memory lost two bits, which ECC can't correct; what was in it is lost.",
    61: "A microcontroller on the GPU found an error in itself.",
    62: "A microcontroller on the GPU stopped.",
    63: "A broken row of the GPU's memory is replaced by a spare one at its next reset, and pending until then.",
    64: "A broken row of the GPU's memory could not be replaced by a spare one.",
    69: "A program gave the GPU commands that this kind of GPU does not know.",
    74: _LINK,
    79: "The GPU does not answer on PCIe any more: power, heat, a bad contact or a dead card. Nothing can use it.",
    92: "The GPU corrects more single bits of its memory than it should.",
    94: "An error in the GPU's memory hit one program, which ended; others go on.",
    95: "An error in the GPU's memory could not be kept to one program: none on this GPU can be trusted.",
    109: "The GPU could not change from one program to another.",
    119: _FIRMWARE,
    120: _FIRMWARE,
    136: "A link between GPUs (NVLink) could not be brought up.",
    140: "An error in the GPU's memory was found that ECC could not correct.",
    143: "The GPU could not be started.",
    156: "The GPU puts a part of itself out of use: that is done at its next reset.",
    158: "The GPU hangs.",
    167: "The GPU did not answer on PCIe in time.",
    **dict.fromkeys((39, 40, 41, 70, 71, 72, 75, 76, 77, 85, *range(126, 136)), _COPY),
    **dict.fromkeys((60, 68, 82, 83, 84, 86, 88, 89, *range(96, 104), 139, 142), _VIDEO),
    **dict.fromkeys(range(144, 151), _LINK),
}
_SAID: Final = frozenset({63, 94})  # whose notes are among the words above, or in the advice
_SOURCES: Final = ("gpud", "blank in NVIDIA")  # who says so: `runbook doc xid.63` names them


def meaning(xid: Xid) -> str:
    """Return what a code means, in sentences."""
    said = _MEANINGS.get(xid.code) or f"The NVIDIA driver calls it {xid.mnemonic or 'nothing'}."
    clauses = [clause for clause in xid.note.split("; ") if clause and not clause.startswith(_SOURCES)]
    note = "" if xid.code in _SAID and not xid.files else "; ".join(clauses)
    return f"{said} {note[:1].upper()}{note[1:]}." if note else said

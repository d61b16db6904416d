"""Bringing one file: under its lock, from where the last process left off, until its hash is right."""

import os
import threading
from typing import Callable, NoReturn, Tuple

from runbook.modules.acting.hands import size
from runbook.modules.declare import Failed
from runbook.modules.hub import digest, locks, partial, place, repair
from runbook.modules.hub.digest import Follower
from runbook.modules.hub.failures import Hindered
from runbook.modules.hub.library import Library
from runbook.modules.hub.listing import HubFile
from runbook.modules.hub.patience import Pace, Patience
from runbook.modules.hub.place import Place, Seat, State
from runbook.modules.hub.tally import Tally

ROUNDS = 3  # times that a content is fetched which has another hash
_LARGE = 1 << 20  # bytes from which a broken file is mended, and not fetched anew
_AGAIN = 5  # times that a file may begin anew, and not come farther than before, with its patience filled up
_KEEP = 1 << 20  # bytes of a mended file after which it is kept how far that is
_TELL = 1 << 20  # bytes after which the hash may go on


class Stopped(Exception):
    """Another file failed, or the step's time is over."""


class Bringer:
    """Brings files, in any thread."""

    def __init__(
        self,
        library: Library,
        goal: Place,
        url: Callable[[HubFile], str],
        tally: Tally,
        patience: float,
        stop: threading.Event,
        *,
        trust: bool = True,
    ) -> None:
        self._library = library
        self._place = goal
        self._url = url
        self._tally = tally
        self._patience = patience
        self._stop = stop
        self._trust = trust

    def bring(self, file: HubFile, before: int) -> bool:
        """Bring a file and return whether anything was done; `before` is how much of it was found.

        Raises:
            Failed: it can't be had.
            Stopped: it was told to stop.
        """
        lock = self._place.seat(file).lock
        with locks.held(self._place.ground, lock, lambda seconds: self._waiting(file, seconds)):
            seat = self._place.seat(file)
            seen = place.look(self._place, file, trust=self._trust)
            self._tally.gained(seen.found - before)
            if seen.state is State.WHOLE and not self._sound(file, seat):
                seen = place.Seen(State.MISSING, settled=False)
            fetched = seen.state is State.MISSING
            if fetched:
                self._fetch(file, seat)
            if seen.state is not State.RIGHT:
                place.remember(self._place, file)
            if not seen.settled:
                self._place.settle(file)
            return fetched or not seen.settled

    def _sound(self, file: HubFile, seat: Seat) -> bool:
        """Read a file whose hash is not known; a broken one is put where it can be mended."""
        descriptor = self._place.ground.open(seat.whole)
        self._tally.doing = f"checking {file.path}"
        try:
            if digest.of(descriptor, file, lambda _: self._go_on()) == file.etag:
                return True
        finally:
            self._tally.doing = ""
            os.close(descriptor)
        self._tally.gained(-file.size)
        if seat.whole == seat.target and file.size >= _LARGE:
            self._tally.note(f"{file.path}: checksum mismatch; what is wrong of it is fetched again")
            self._place.ground.rename(seat.whole, seat.partial)
            self._tally.gained(file.size)
        else:
            self._tally.note(f"{file.path}: checksum mismatch; it is fetched again")
        return False

    def _fetch(self, file: HubFile, seat: Seat) -> None:
        with partial.opened(self._place.ground, seat.partial, file.size) as (descriptor, begin):
            there = begin
            for number in range(ROUNDS):
                if self._whole(file, descriptor, there) == file.etag:
                    break
                self._tally.note(f"{file.path}: checksum mismatch; what is wrong of it is fetched again", retry=True)
                if file.size >= _LARGE:
                    if self._mended(file, descriptor):
                        break
                    there = file.size
                else:
                    os.ftruncate(descriptor, 0)
                    self._tally.lost(file.size)
                    there = 0
                if number == ROUNDS - 1:
                    self._corrupt(file, descriptor)
            self._place.ground.rename(seat.partial, seat.target)

    def _corrupt(self, file: HubFile, descriptor: int) -> NoReturn:
        os.ftruncate(descriptor, 0)
        self._tally.lost(file.size)
        kind = "SHA-256" if file.large else "git hash"
        raise Failed(
            f"{file.path}: checksum mismatch: what {self._library.endpoint} sends has not the {kind} that it lists"
            f" ({file.etag[:12]}…), fetched {ROUNDS} times; it is corrupt there, or on the way"
        )

    def _whole(self, file: HubFile, descriptor: int, there: int) -> str:
        """Fetch what is missing at the end, and return the hash of all."""
        patience = Patience(self._patience)
        follower = Follower(descriptor, file, there)
        farthest, again = there, 0
        try:
            while there < file.size:
                self._go_on()
                try:
                    with self._library.content(self._url(file), there, file.size, file.path) as (begin, pieces):
                        if begin < there:  # it does not send parts
                            self._tally.lost(there - begin)
                            follower.drop()
                            follower, there, again = Follower(descriptor, file, begin), begin, again + 1
                        told, before = there, farthest
                        pace = Pace()
                        for piece in pieces:
                            self._go_on()
                            pace.came(len(piece))
                            piece = piece[: file.size - there]  # noqa: PLW2901 -- never more than was listed
                            _write(descriptor, piece, there)
                            there += len(piece)
                            self._tally.came(len(piece))
                            if there > farthest:
                                farthest, again = there, 0
                            if again <= _AGAIN:
                                patience.moved()
                            if there - told >= _TELL:
                                follower.reach(there)
                                told = there
                            if there >= file.size:
                                break  # whatever else it sends
                        _moved(before, there)
                    follower.reach(there)
                except Hindered as hindered:
                    follower.reach(there)
                    self._wait(patience.pause(hindered, file.path), hindered, file, there)
                    if not file.large:  # it may have come compressed, and has no parts then
                        self._tally.lost(there)
                        follower.drop()
                        follower, there, again = Follower(descriptor, file, 0), 0, again + 1
            follower.reach(there)
            return follower.result()
        finally:
            follower.drop()

    def _mended(self, file: HubFile, descriptor: int) -> bool:
        patience = Patience(self._patience)
        kept = place.mended(self._place, file)
        mending = repair.Repair(descriptor, file, kept)
        farthest, again = kept, 0
        while not mending.over:
            self._go_on()
            try:
                with self._library.content(self._url(file), mending.at, file.size, file.path) as (begin, pieces):
                    again += begin < mending.at
                    mending.at, before = min(begin, mending.at), farthest
                    for piece in pieces:
                        self._go_on()
                        self._tally.came(len(piece), new=False)
                        over = mending.compare(piece)
                        if mending.at > farthest:
                            farthest, again = mending.at, 0
                        if again <= _AGAIN:
                            patience.moved()
                        if over:
                            break
                        if mending.at - kept >= _KEEP:
                            kept = mending.at
                            place.remember_mended(self._place, file, kept)
                    _moved(before, file.size if mending.over else mending.at)
            except Hindered as hindered:
                self._wait(patience.pause(hindered, file.path), hindered, file, mending.at)
        if not mending.right:
            place.remember_mended(self._place, file, 0)
        return mending.right

    def _wait(self, seconds: float, hindered: Hindered, file: HubFile, at: int) -> None:
        how = f"waiting {seconds:.0f} s, as the hub asks" if hindered.retry_after else f"again in {seconds:g} s"
        self._tally.note(f"{file.path}: {hindered} at {size(at)}; {how}", retry=True)
        if self._stop.wait(seconds):
            raise Stopped

    def _waiting(self, file: HubFile, seconds: float) -> None:
        told = f"{file.path}: another process fetches it; waiting for it"
        if told not in self._tally.notes:
            self._tally.note(told)
        if self._stop.wait(seconds):
            raise Stopped

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Stopped


def _moved(before: int, there: int) -> None:
    """See that an answer brought something new: what brings nothing would be asked for again at once, for ever."""
    if there <= before:
        raise Hindered("the server sends nothing new of it")


def _write(descriptor: int, piece: bytes, at: int) -> None:
    rest: Tuple[memoryview, int] = memoryview(piece), at
    while rest[0]:
        written = os.pwrite(descriptor, *rest)
        rest = rest[0][written:], rest[1] + written

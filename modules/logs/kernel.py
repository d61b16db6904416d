"""The kernel's messages since the machine started: /dev/kmsg, or who else may read them."""

import errno
import os
import re
import stat
import time
from typing import Any, Dict, Generator, Iterator, List, Mapping, Optional, Tuple

from runbook.modules.declare import Absent, Unclear
from runbook.modules.frozen import frozen
from runbook.modules.host import Host
from runbook.modules.logs.beginning import Beginning
from runbook.modules.logs.entries import Entry, cleaned_text
from runbook.modules.logs.wrapping import fields_of, text_of

DEVICE = "/dev/kmsg"
RECORD = 8192  # bytes; the kernel gives one message a read, and refuses where it does not fit
MOST = 20_000  # messages of one look
_OPEN = 4  # descriptors that a worker keeps

_MEND = "look as root, or let the user read the journal (group systemd-journal)"
_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")
_RAW = re.compile(r"<\d{1,3}>\[ *(\d{1,12}\.\d{6})\] ?(.*)")


class _Readers:
    """Descriptors of the device that were read to its end: to read all of its messages again costs 10 ms or more."""

    def __init__(self) -> None:
        self._behind: Dict[int, int] = {}  # by the number of the message behind which they stand
        self._owner = -1

    def take(self, number: int) -> Optional[int]:
        """Return one that stands behind this message or an earlier one, for its caller to close or to give back.

        Of several workers that look in turn, each has one that stands where its own last look ended.
        """
        if self._owner != os.getpid():  # a child would share its place
            return None
        found = max((behind for behind in self._behind if behind <= number), default=None)
        return None if found is None else self._behind.pop(found)

    def give(self, number: int, descriptor: int) -> None:
        """Keep one that stands behind this message."""
        if self._owner != os.getpid():
            self._behind, self._owner = {}, os.getpid()
        while len(self._behind) >= _OPEN or number in self._behind:
            os.close(self._behind.pop(number if number in self._behind else next(iter(self._behind))))
        self._behind[number] = descriptor


_READERS = _Readers()


@frozen
class Message:
    """One message."""

    number: int  # the kernel's, from 0 at its start; -1 where it is not told
    seconds: float  # since the start
    text: str
    goes_on: bool = False  # it continues the one before


class Kernel:
    """The messages behind a cursor.

    A message is known by the kernel's number for it, and a start of the machine by its boot id: what was said since
    the last start is news, however the numbers compare.
    """

    def __init__(self, kept: Mapping[str, Any], host: Host, begin: Beginning) -> None:
        self.trouble = ""
        self.behind = 0  # messages that are left for the next look
        self._host = host
        self._boot = boot()
        self._started = host.now() - time.clock_gettime(time.CLOCK_MONOTONIC)
        same = kept.get("boot") == self._boot
        self._first: Optional[Beginning] = None if kept else begin
        self._number = int(kept.get("number", -1)) if same else -1
        self._seconds = float(kept.get("seconds", -1.0)) if same else -1.0
        self._from = self._number, self._seconds
        self._taken: List[Message] = []

    def new(self) -> List[Entry]:
        """Return what came since it was asked last.

        Raises:
            Absent: there is no such thing here.
            Unclear: nobody lets us read it.
        """
        messages = _whole(self._after(self._messages()))
        if self._first is not None:
            wanted = self._wanted(messages, self._first)
            self._first = None
            if len(wanted) < len(messages):
                last = messages[len(messages) - len(wanted) - 1]
                self._from = last.number, last.seconds
            messages = wanted
        self.behind = max(0, len(self._taken) + len(messages) - MOST)
        self._taken += messages[: len(messages) - self.behind]
        if self._taken:
            self._number, self._seconds = self._taken[-1].number, self._taken[-1].seconds
        new = messages[: len(messages) - self.behind]
        return [Entry(message.text, self._started + message.seconds, "") for message in new]

    def keep(self, taken: int) -> Dict[str, Any]:
        """Return what the next look has to be given, when it is to begin behind so many of the messages."""
        number, seconds = self._from
        if taken:
            number, seconds = self._taken[taken - 1].number, self._taken[taken - 1].seconds
        return {"boot": self._boot, "number": number, "seconds": seconds}

    def _wanted(self, messages: List[Message], begin: Beginning) -> List[Message]:
        if begin.start:
            return messages
        if begin.lines:
            return messages[-begin.lines :]
        since = self._host.now() - begin.seconds - self._started
        return [message for message in messages if begin.seconds and message.seconds >= since]

    def _after(self, messages: Iterator[Message]) -> Iterator[Message]:
        for message in messages:
            counted = message.number >= 0 and self._number >= 0
            if message.number > self._number if counted else message.seconds > self._seconds:
                yield message

    def _messages(self) -> Iterator[Message]:
        """Yield all messages that are there, by the first way that is open to us."""
        try:
            descriptor = _READERS.take(self._number)
            if descriptor is None:
                descriptor = os.open(DEVICE, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            refused = f"{DEVICE}: {error.strerror}"
        else:
            last = -1
            try:
                last = yield from self._device(descriptor)
            finally:
                if last >= 0 and stat.S_ISCHR(os.fstat(descriptor).st_mode):
                    _READERS.give(last, descriptor)
                else:
                    os.close(descriptor)
            return
        answers = []
        for argv, read in ((self._journalctl(), _journalled), (("dmesg", "--raw"), _raw)):
            if self._host.which(argv[0]) is None:
                continue
            done = self._host.run(*argv)
            if done.exit_code == 0 and (argv[0] == "dmesg" or done.stdout.strip()):
                yield from read(done.stdout)
                return
            said = done.stderr.strip().partition("\n")[0]
            answers.append(f"{argv[0]}: {said or 'it knows nothing'}")
        if not answers and not os.path.exists(DEVICE):
            raise Absent(f"there is no {DEVICE}, no journalctl and no dmesg here")
        raise Unclear(f"the kernel's messages can't be read ({'; '.join([refused, *answers])}): {_MEND}")

    def _device(self, descriptor: int) -> Generator[Message, None, int]:
        """Yield what can be read; return the number of the last one, -1 where it ended otherwise than by that."""
        before = self._number
        while True:
            try:
                record = os.read(descriptor, RECORD)
            except BlockingIOError:
                return before
            except OSError as error:
                if error.errno == errno.EPIPE:
                    continue  # overwritten while we read: it goes on with the oldest that is left
                raise Unclear(f"{DEVICE} can't be read: {error.strerror}") from error
            if not record:
                return -1  # a file in the device's place: the device itself never ends
            message = _parsed(record, self._number)
            if message is None:
                continue
            if 0 <= before < message.number - 1:
                lost = message.number - before - 1
                self.trouble = f"{lost} messages of the kernel were overwritten before they were read"
            before = max(before, message.number)
            yield message

    def _journalctl(self) -> Tuple[str, ...]:
        since = max(0.0, self._seconds - 1.0) + self._started
        fields = "--output-fields=MESSAGE,_SOURCE_MONOTONIC_TIMESTAMP"
        return ("journalctl", "--dmesg", "--no-pager", "--all", "--output=json", fields, f"--since=@{since:.0f}")


def boot() -> str:
    """Return what names this start of the machine."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError as error:
        raise Unclear(f"the boot id can't be read: {error.strerror}") from error


def _parsed(record: bytes, read: int) -> Optional[Message]:
    """Return what stands in a record of the device: `level,number,microseconds,flags;text`, and lines about it."""
    head, _, rest = record.partition(b";")
    fields = head.split(b",")
    try:
        number, seconds = int(fields[1]), int(fields[2]) / 1e6
    except (ValueError, IndexError):
        return None
    if number <= read:
        return Message(number, seconds, "")
    text = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), rest.partition(b"\n")[0])
    return Message(number, seconds, cleaned_text(text), fields[3][:1] in (b"c", b"+") if len(fields) > 3 else False)


def _whole(messages: Iterator[Message]) -> List[Message]:
    """Put together what the kernel said in pieces."""
    found: List[Message] = []
    for message in messages:
        if message.goes_on and found and message.seconds - found[-1].seconds < 1.0:
            found[-1] = Message(message.number, message.seconds, found[-1].text + message.text)
        else:
            found.append(message)
    return found


def _raw(output: str) -> Iterator[Message]:
    """Yield what `dmesg --raw` prints; a line without a time goes on with the one before."""
    seconds = 0.0
    for line in _lines(output):
        found = _RAW.match(line)
        if found is not None:
            seconds = float(found[1])
        yield Message(-1, seconds, cleaned_text((found[2] if found is not None else line).encode("utf-8", "replace")))


def _lines(output: str) -> List[str]:
    """Return the lines of a program's output; of what Unicode takes for the end of one, messages hold anything."""
    return output.removesuffix("\n").split("\n") if output else []


def _journalled(output: str) -> Iterator[Message]:
    for line in _lines(output):
        record = fields_of(line)
        if record is not None:
            seconds = float(record.get("_SOURCE_MONOTONIC_TIMESTAMP") or record.get("__MONOTONIC_TIMESTAMP") or 0) / 1e6
            yield Message(-1, seconds, cleaned_text(text_of(record.get("MESSAGE"))))

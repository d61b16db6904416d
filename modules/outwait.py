"""Not waiting longer than one wants to, for calls that have no time limit of their own (a name lookup, a slow drip)."""

import threading
from typing import Callable, List, TypeVar

T = TypeVar("T")


def outwait(call: Callable[[], T], seconds: float) -> T:
    """Return what the call returns, or raise what it raises.

    Raises:
        TimeoutError: it took longer; its thread is left behind and ends with the process.
    """
    results: List[T] = []
    errors: List[BaseException] = []

    def answer() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 -- raised again by the one who waits
            errors.append(error)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return results[0]

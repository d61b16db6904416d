"""What is a web address; apart from `web`, so that lint does not load what asks one."""

import urllib.parse
from typing import Tuple


def parts(url: str) -> Tuple[str, str, int, str]:
    """Return scheme, host, port and the path with its query.

    Raises:
        ValueError: it is no web address.
    """
    if any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise ValueError(f"`{url}` holds a blank or a control character: write it as %20 and the like")
    try:
        split = urllib.parse.urlsplit(url)
        port = split.port
    except ValueError as error:
        raise ValueError(f"`{url}` is no web address: {error}") from error
    if split.scheme not in ("http", "https") or not split.hostname:
        raise ValueError(f"`{url}` is no web address: begin it with http:// or https:// and a host")
    if split.username is not None:
        raise ValueError("a password does not belong in an address: send an `Authorization` header")
    path = urllib.parse.quote(split.path or "/", safe="/%:@!$&'()*+,;=~-._")
    target = f"{path}?{split.query}" if split.query else path
    return split.scheme, split.hostname, port or (443 if split.scheme == "https" else 80), target

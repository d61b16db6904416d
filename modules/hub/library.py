"""huggingface_hub as it is on this host. 1.x speaks through httpx and 2.x through httpx2; what we use is alike in both.

The library finds the hub, the token and the proxies (HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, HTTPS_PROXY, …), tells what
a repo holds, and makes the connections. Redirects are followed by its client, which sends the token to the hub's own
host alone. Xet is not used: the hub serves what lies there through plain HTTP as well, with ranges.
"""

import contextlib
import importlib
import re
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, TypeVar
from urllib.parse import urlsplit

from runbook.modules.declare import Blameless, Failed
from runbook.modules.hub import listing, names
from runbook.modules.hub.failures import Hindered, of_status
from runbook.modules.hub.listing import HubFile

LONGEST = 10 << 30  # bytes asked for at once: content delivery networks refuse more than 50 GB
_MOST = 1_000_000  # entries of a repo
_PAGES = 10_000  # of a listing
_AGAIN = 100  # entries one after the other that were told already
_OURS = "runbook"
_ERRNO = re.compile(r"^\[Errno -?\d+\] (.)")
Answer = TypeVar("Answer")


class Library:
    """The library, with a hub and who we are there."""

    def __init__(self, endpoint: Optional[str] = None, token: Optional[str] = None) -> None:
        """Take up where to ask and with which token; the host's own is never sent to a hub it was not meant for."""
        self._hub = importlib.import_module("huggingface_hub")
        self._constants = importlib.import_module("huggingface_hub.constants")
        self._utils = importlib.import_module("huggingface_hub.utils")
        usual = str(self._constants.ENDPOINT)
        self.endpoint = (endpoint or usual).rstrip("/")
        foreign = _place(self.endpoint) != _place(usual)
        self._token: Any = token or (False if foreign else None)
        self._headers = dict(self._utils.build_hf_headers(token=self._token, library_name=_OURS))
        self._headers["Accept-Encoding"] = "identity"  # ranges count the bytes of the file, not of what is sent

    @property
    def offline(self) -> bool:
        """Nothing may be asked: HF_HUB_OFFLINE."""
        return bool(self._constants.HF_HUB_OFFLINE)

    @property
    def cache(self) -> str:
        """Where the library keeps its cache: HF_HUB_CACHE, or below HF_HOME."""
        return str(self._constants.HF_HUB_CACHE)

    @property
    def links(self) -> bool:
        """Whether snapshots may be made of symbolic links: HF_HUB_DISABLE_SYMLINKS."""
        return not getattr(self._constants, "HF_HUB_DISABLE_SYMLINKS", False)  # 1.0 knows no such setting

    @property
    def tags(self) -> bool:
        """Whether a cache has a `CACHEDIR.TAG`; to 1.0 it would be a repo that is corrupt."""
        return hasattr(importlib.import_module("huggingface_hub._local_folder"), "CACHEDIR_TAG_CONTENT")

    @property
    def silence(self) -> float:
        """Seconds without a byte after which a connection is given up: HF_HUB_DOWNLOAD_TIMEOUT."""
        return float(self._constants.HF_HUB_DOWNLOAD_TIMEOUT)

    @property
    def authenticated(self) -> bool:
        """A token is sent."""
        return any(name.lower() == "authorization" for name in self._headers)

    def folder(self, repo: str, repo_type: str) -> str:
        """Return a repo's directory in the cache, such as `models--org--toy`."""
        return str(importlib.import_module("huggingface_hub.file_download").repo_folder_name(
            repo_id=repo, repo_type=repo_type
        ))  # fmt: skip

    def commit(self, repo: str, repo_type: str, revision: str) -> str:
        """Return the commit that a branch or a tag stands at.

        Raises:
            Hindered: the hub does not answer, or asks to wait.
            Failed: it says no.
        """
        if names.is_commit(revision):
            return revision
        api = self._api()
        found = self._asked(lambda: api.repo_info(repo, repo_type=repo_type, revision=revision), f"{repo}@{revision}")
        return names.commit(getattr(found, "sha", None))

    def files(self, repo: str, repo_type: str, commit: str) -> Tuple[HubFile, ...]:
        """Return all files of a repo at a commit.

        Raises:
            Hindered: the hub does not answer, or asks to wait.
            Failed: it says no.
        """
        api = self._api()
        with self._counted():
            tree = self._asked(
                lambda: _ending(api.list_repo_tree(repo, recursive=True, revision=commit, repo_type=repo_type)),
                f"{repo}@{commit[:12]}",
            )
        return tuple(
            listing.file(
                one.path,
                one.size if one.lfs is None else one.lfs.size,
                one.blob_id,
                None if one.lfs is None else one.lfs.sha256,
                getattr(one, "xet_hash", None),
            )
            for one in tree
            if hasattr(one, "blob_id")  # a directory has none
        )

    def url(self, repo: str, repo_type: str, commit: str, path: str) -> str:
        """Return the address of a file."""
        return str(self._hub.hf_hub_url(
            repo, path, repo_type=repo_type, revision=commit, endpoint=self.endpoint
        ))  # fmt: skip

    @contextlib.contextmanager
    def content(self, url: str, begin: int, size: int, what: str) -> Iterator[Tuple[int, Iterator[bytes]]]:
        """Open a file's content from a byte on; what is sent may begin earlier, and end earlier.

        Yields:
            Where the content begins, and its pieces.

        Raises:
            Hindered: this connection, or this server, does not do it now.
            Failed: the server says no.
        """
        end = min(size, begin + LONGEST)
        ranged = {} if begin == 0 and end == size else {"Range": f"bytes={begin}-{end - 1}"}
        session = self._utils.get_session()
        http = importlib.import_module(type(session).__module__.partition(".")[0])
        try:
            with session.stream(
                "GET", url, headers={**self._headers, **ranged}, timeout=self.silence, follow_redirects=True
            ) as response:
                at = self._begin(response, size, begin, what)
                yield at, response.iter_raw() if at else response.iter_bytes()
        except http.HTTPError as error:
            raise Hindered(_told(error)) from error
        except self._utils.OfflineModeIsEnabled as error:
            raise Blameless(_offline(what)) from error
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise Hindered(_told(error)) from error
            raise

    def _begin(self, response: Any, size: int, asked: int, what: str) -> int:
        """Return the byte that an answer begins with."""
        status = int(response.status_code)
        if status == 416:
            raise Hindered(f"the server has no byte {asked} of it")
        if status not in {200, 206}:
            raise of_status(
                status, response.headers, what, token=self.authenticated, where=self._elsewhere(str(response.url))
            )
        encoded = response.headers.get("content-encoding", "identity").lower() != "identity"
        if status == 200:
            length = response.headers.get("content-length", "")
            if not encoded and length.isdigit() and int(length) != size:
                raise Hindered(f"the server sends {int(length)} bytes, and the hub lists {size}")
            return 0
        sent = response.headers.get("content-range", "").partition(" ")[2]
        first, total = sent.partition("-")[0], sent.partition("/")[2]
        if encoded or not first.isdigit() or int(first) > asked or (total.isdigit() and int(total) != size):
            raise Hindered(f"the server sends `{sent[:80]}` for the bytes from {asked} of {size} on")
        return int(first)

    def _elsewhere(self, url: str) -> str:
        return "" if _place(url) == _place(self.endpoint) else _place(url)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """Let a listing end whose pages are empty and lead on: the library follows them without a word."""
        session = self._utils.get_session()
        hooks: Mapping[str, List[Any]] = session.event_hooks
        left = iter(range(_PAGES))

        def count(_: Any) -> None:
            if next(left, None) is None:
                raise Failed(f"the hub's listing does not end: it has more than {_PAGES:,} pages")

        session.event_hooks = {**hooks, "response": [*hooks.get("response", ()), count]}
        try:
            yield
        finally:
            session.event_hooks = hooks

    def _api(self) -> Any:
        return self._hub.HfApi(endpoint=self.endpoint, token=self._token, library_name=_OURS)

    def _asked(self, ask: Callable[[], Answer], what: str) -> Answer:
        """Ask the library's own API, and put what went wrong in our words."""
        errors = importlib.import_module("huggingface_hub.errors")
        http = importlib.import_module(type(self._utils.get_session()).__module__.partition(".")[0])
        try:
            return ask()
        except errors.HfHubHTTPError as error:
            response = error.response
            if response is None:
                raise Hindered(_told(error)) from error
            headers: Mapping[str, str] = response.headers
            raise of_status(
                int(response.status_code), headers, what, token=self.authenticated,
                where=self._elsewhere(str(response.url)),
            ) from error  # fmt: skip
        except errors.OfflineModeIsEnabled as error:
            raise Blameless(_offline(what)) from error
        except errors.HFValidationError as error:
            raise Blameless(f"{what}: {str(error).splitlines()[0]}") from error
        except http.HTTPError as error:
            raise Hindered(f"{self.endpoint}: {_told(error)}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Failed(
                f"{what}: what {self.endpoint} answers is no hub's answer ({type(error).__name__}); is a proxy or a"
                " login page in between?"
            ) from error


def _ending(told: Iterable[Any]) -> List[Any]:
    """Return a listing that ends: one whose pages lead back to themselves tells of the same files for ever.

    Raises:
        Failed: it does not end, or is longer than any repo's.
    """
    found: Dict[str, Any] = {}
    again = 0
    for one in told:
        again = again + 1 if one.path in found else 0
        found[one.path] = one
        if again > _AGAIN:
            raise Failed(f"the hub's listing does not end: it has told {again:,} entries again, such as {one.path!r}")
        if len(found) > _MOST:
            raise Failed(f"the hub lists more than {_MOST:,} entries; no repo is downloaded that has so many")
    return list(found.values())


def _place(url: str) -> str:
    """Return the host, and the port where it is named."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def _told(error: BaseException) -> str:
    """Return an error of the network in words that name what it is: a timeout, a reset, a name that is not there."""
    kind = type(error).__name__
    said = _ERRNO.sub(lambda found: found[1].lower(), " ".join(str(error).split()))
    if "Timeout" in kind:
        return "the connection stalls (timed out)" if kind == "ReadTimeout" else f"timed out ({kind})"
    if kind in {"ReadError", "RemoteProtocolError", "WriteError", "ConnectionResetError", "BrokenPipeError"}:
        return "the connection was cut" + (f": {said}" if said and "peer closed" not in said else "")
    return f"{'no connection' if kind == 'ConnectError' else kind}{': ' + said if said else ''}"


def _offline(what: str) -> str:
    return f"{what}: HF_HUB_OFFLINE is set on this host, so nothing is fetched"

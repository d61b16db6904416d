"""A real Alertmanager on the loopback, with times that a test can wait for."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

PROGRAM = shutil.which("prometheus-alertmanager")
LACKING = "" if PROGRAM else "there is no prometheus-alertmanager: apt-get install prometheus-alertmanager"
CONFIG = """
route:
  receiver: {receiver}
  group_by: [alertname]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: {repeat}
receivers:
  - name: {receiver}
    webhook_configs:
      - url: {url}
        http_config: {http}
"""


class Alertmanager:
    """Sends what it is told of to one webhook."""

    def __init__(self, home: Path, url: str, *, receiver: str = "runbook", repeat: str = "1h", token: str = "") -> None:
        home.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        http = f"{{authorization: {{credentials: {token}}}}}" if token else "{}"
        config = home / "alertmanager.yml"
        config.write_text(CONFIG.format(receiver=receiver, url=url, repeat=repeat, http=http))
        self.log = home / "log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    PROGRAM,
                    f"--config.file={config}",
                    f"--storage.path={home}/data",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--cluster.listen-address=",
                ],
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + 20
        while not self._is_up():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.02)

    def fire(self, *alerts: dict[str, str], **annotations: str) -> None:
        """Tell it that alerts with these labels fire."""
        now = datetime.now(UTC)
        self._tell([{"labels": each, "annotations": annotations, "startsAt": now.isoformat(),
                     "endsAt": (now + timedelta(hours=1)).isoformat()} for each in alerts])  # fmt: skip

    def resolve(self, *alerts: dict[str, str]) -> None:
        """Tell it that they are over."""
        now = datetime.now(UTC).isoformat()
        self._tell([{"labels": each, "endsAt": now} for each in alerts])

    def silence(self, label: str, value: str) -> None:
        """Silence the alerts with a label, as a person would."""
        now = datetime.now(UTC)
        self._send("/api/v2/silences", {
            "matchers": [{"name": label, "value": value, "isRegex": False, "isEqual": True}],
            "startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat(),
            "createdBy": "somebody", "comment": "known",
        })  # fmt: skip

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _tell(self, alerts: list[dict[str, object]]) -> None:
        self._send("/api/v2/alerts", alerts)

    def _send(self, path: str, body: object) -> None:
        data = json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data=data, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.status == 200

    def _is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False

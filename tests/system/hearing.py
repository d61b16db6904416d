"""What a real agent hears, for tests: looks that are listened for, and the stirs that come."""

from __future__ import annotations

import time
from dataclasses import replace

from runbook.engine.fleet import messages
from runbook.engine.fleet.connection import Gone
from runbook.engine.fleet.messages import Spec


class Listener:
    """An engine's side: it looks, listens, and can wait for what comes."""

    def __init__(self, hosts, host="localhost", user=""):
        self.hosts, self.host, self.user = hosts, host, user
        self.channel = hosts.listen(host, user)
        self.stirred: list[str] = []
        self.messages = 0  # that told of stirs
        self._specs: dict[str, Spec] = {}
        self._answers: dict[int, dict] = {}
        self.listens = False
        until = time.monotonic() + 30.0
        while not self.listens:
            assert time.monotonic() < until, "the agent does not listen"
            self._receive(0.5)

    def watch(self, key, probe, **params):
        """Look until nothing stirs by itself, and return what the last look heard: True, or why not."""
        self._specs[key] = Spec(key, probe, params, listen=key)
        while True:
            heard = self.look(key)[1]
            if key not in self.settled():
                return heard

    def look(self, *keys):
        """Look at these, and return the (last one's) look and whether it is listened to."""
        answer = self._answer(messages.probe([self._specs[key] for key in keys]))
        for key, look in self.hosts.looks(answer).items():
            if hasattr(look, "state"):
                self._specs[key] = replace(self._specs[key], state=dict(look.state))
        return self.hosts.looks(answer)[keys[-1]], self.hosts.heard(answer).get(keys[-1])

    def records(self, key):
        """Look, and return the fields of what was seen."""
        return [record.fields for record in self.look(key)[0].records]

    def settled(self):
        """Return what has stirred by now: what an agent had to say comes before its answer."""
        self._answer({"op": "ping"})
        found, self.stirred = self.stirred, []
        return found

    def await_stir(self, key, within=5.0):
        """Wait until a key stirs, and return after how many seconds it did."""
        began = time.monotonic()
        while key not in self.stirred:
            assert time.monotonic() - began < within, f"{key} did not stir within {within:g} s"
            self._receive(0.05)
        self.stirred.remove(key)
        return time.monotonic() - began

    def answer(self, key, holds, within=5.0):
        """Wait for the stirs of a key, looking after each, until a look shows what is waited for; return its records."""
        until = time.monotonic() + within
        while time.monotonic() < until:
            self.await_stir(key, within)
            found = self.records(key)
            if holds(found):
                return found
        raise AssertionError(f"the stirs of {key} led to no such look")

    def quiet(self, seconds=0.3):
        """Return what stirs within a while: nothing, it is hoped."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._receive(0.05)
        found, self.stirred = self.stirred, []
        return found

    def _answer(self, request):
        ticket = self.hosts.send(self.host, request, self.user)
        until = time.monotonic() + 30.0
        while ticket not in self._answers:
            assert time.monotonic() < until, f"{request['op']} was not answered"
            self._receive(0.5)
        return self._answers.pop(ticket)

    def _receive(self, timeout):
        for ticket, message in self.hosts.receive(timeout):
            assert not isinstance(message, Gone), message
            if ticket != self.channel:
                self._answers[ticket] = message
            elif "stirred" in message:
                self.messages += 1
                self.stirred += message["stirred"]
            else:
                self.listens = message["listens"]

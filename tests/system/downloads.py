"""Steps of the hub carried out in this process, against a hub of the test's own."""

import huggingface_hub.constants

from runbook.engine.language import params as parameters
from runbook.modules import catalogue
from runbook.modules.acting.hands import Hands
from runbook.modules.acting.perform import Performance
from runbook.modules.host import Host


class Done:
    """What came of a step."""

    def __init__(self, actions, data, output, changed, report, notes):
        self.actions = [action.what for action in actions if hasattr(action, "what")]
        self.planned = actions
        self.data = {**data, **report}
        self.output = output
        self.changed = changed
        self.notes = notes


class Steps:
    """Runs steps below one directory."""

    def __init__(self, root, hub):
        self.root = root
        self.hub = hub
        self.said = []  # words of progress with their shares
        self.data = {}  # of the last step, also of one that failed

    def run(self, name="hf_download", *, writable=None, env=None, **given):
        writable = (str(writable or self.root),)
        usual = {"repo": self.hub.repo, "endpoint": self.hub.url} if name == "hf_download" else {}
        cls = catalogue.step(name)
        step = parameters.build(cls, {**usual, **given}, rendered=False)
        host = Host(writable=writable, **({"env": env} if env else {}))
        self.data = {}
        actions = step.plan(host)
        hands = Hands(writable, lambda _: None, lambda text: self.said.append((text, hands.share)))
        try:
            Performance(hands, actions).carry_out()
        finally:
            self.data = hands.data
            hands.close()
        changed = any(action["changed"] for action in hands.actions)
        return Done(actions, hands.data, hands.output.text(), changed, step.report(host), host.notes)


def impatient(monkeypatch):
    """A connection without a byte is given up after a second, and no token of this machine is found."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)

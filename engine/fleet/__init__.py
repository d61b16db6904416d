"""Connections to hosts: the agent, how it gets its code, and what is said to it."""

from runbook.engine.fleet.agent import Agent
from runbook.engine.fleet.hosts import here
from runbook.engine.fleet.local import connect
from runbook.engine.fleet.messages import Spec

__all__ = ["Agent", "Spec", "connect", "here"]

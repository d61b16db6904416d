"""Declarative runbooks that heal machines running LLM, GPU and Slurm work."""

__version__ = "0.1.0"

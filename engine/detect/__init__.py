"""Conditions, holds and correlations: what records mean. Pure."""

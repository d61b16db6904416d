"""Rungs, strategies, retry and verification: what is done, and whether it worked. Pure."""

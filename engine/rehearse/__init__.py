"""Rehearsal: `advance` driven through made-up or remembered worlds with a virtual clock; nothing real is touched."""

"""The driver that goes on: runbooks whose detectors are looked at for ever, on schedule and when something is heard."""

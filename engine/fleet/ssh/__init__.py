"""Connections by SSH. Only what lies below `session` imports paramiko, which takes a while."""

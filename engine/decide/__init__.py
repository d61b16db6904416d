"""Guards and limits: whether a recovery may begin. Pure."""

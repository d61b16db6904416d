import os

import pytest


@pytest.fixture
def tmp(tmp_path):
    """A fresh directory as the host names it, without links on the way."""
    return os.path.realpath(tmp_path)

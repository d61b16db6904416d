import os

import pytest
from hypothesis import settings

settings.register_profile("modules", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("modules")


@pytest.fixture
def tmp(tmp_path):
    """A fresh directory as the host names it, without links on the way."""
    return os.path.realpath(tmp_path)

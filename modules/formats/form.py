"""What the content of a file can be meant to be."""

from typing import Literal

Format = Literal["json", "yaml", "toml", "safetensors", "zip", "torch", "sha256", "checkpoint"]

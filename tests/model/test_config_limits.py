"""Numbers in a config that no network can have."""

import pytest

from vidseg.errors import ConfigError
from vidseg.model import Sam2Config


def test_pointers_must_split_into_memory_tokens():
    with pytest.raises(ConfigError, match="memory_dim 48 must divide d_model 256"):
        Sam2Config(d_model=256, memory_dim=48)

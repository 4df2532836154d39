"""What all tests share: the embedded server (`support/server.py`) and modest property tests."""

from __future__ import annotations

from hypothesis import settings

pytest_plugins = ["support.server"]

settings.register_profile("tek", deadline=None, max_examples=100)
settings.load_profile("tek")

"""The version of what workers and submitters say to each other through the server."""

__all__ = ["PROTOCOL"]

PROTOCOL = 1
"""Version of messages, scripts and keys; raised when older ones would be misunderstood."""

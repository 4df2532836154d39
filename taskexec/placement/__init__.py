"""What workers have, and whether tasks fit."""

from taskexec.placement.capacity import measure_capacity

__all__ = ["measure_capacity"]

"""Notifications: what of a run is worth telling somebody, whom, and how it reaches them."""

from taskexec.observability.notify.addresses import Target, allowed_stakeholders, parse_target
from taskexec.observability.notify.delivery import DeliveryFailed, DeliveryPolicy, deliver
from taskexec.observability.notify.notices import Notice, NoticeKind, RunWatch
from taskexec.observability.notify.notifier import Notifier

__all__ = [
    "DeliveryFailed",
    "DeliveryPolicy",
    "Notice",
    "NoticeKind",
    "Notifier",
    "RunWatch",
    "Target",
    "allowed_stakeholders",
    "deliver",
    "parse_target",
]

"""The Celery side: app, queues, messages, and the result backend with the latch hook."""

from taskexec.broker.app import broker_url, make_app, result_url
from taskexec.broker.backend import Latch, LatchBackend
from taskexec.broker.messages import ATTEMPT_TASK, BATCH_TASK, HEADER, RANK_TASK, message_template
from taskexec.broker.monitor import FlowerAccess, run_flower
from taskexec.broker.queues import queue_key

__all__ = [
    "ATTEMPT_TASK",
    "BATCH_TASK",
    "HEADER",
    "RANK_TASK",
    "FlowerAccess",
    "Latch",
    "LatchBackend",
    "broker_url",
    "make_app",
    "message_template",
    "queue_key",
    "result_url",
    "run_flower",
]

"""The Celery side: app, queues, messages, and the result backend with the latch hook."""

from taskexec.broker.app import broker_url, make_app, result_url
from taskexec.broker.backend import Latch, LatchBackend
from taskexec.broker.messages import HEADER, message_template
from taskexec.broker.queues import queue_key

__all__ = ["HEADER", "Latch", "LatchBackend", "broker_url", "make_app", "message_template", "queue_key", "result_url"]

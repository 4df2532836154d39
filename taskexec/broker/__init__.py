"""The Celery side: app, queues, messages, and the result backend with the latch hook."""

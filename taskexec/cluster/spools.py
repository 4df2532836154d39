"""Where this machine keeps large files of attempts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskexec.completion.spool import Spool
    from taskexec.settings import Settings

__all__ = ["MIB", "local_spool", "spool_folder"]

MIB = 1024 * 1024
"""Bytes of the unit in which settings give sizes."""


def spool_folder(settings: Settings) -> Path:
    """Return where this machine keeps large files of attempts until they are fetched."""
    folder = settings.worker.spool_dir
    return (settings.embedded.state_folder(os.environ) / "spool" if folder is None else folder).absolute()


def local_spool(settings: Settings) -> Spool:
    """Return what this machine keeps of large files."""
    from taskexec.completion.spool import Spool

    return Spool(spool_folder(settings))

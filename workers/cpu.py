"""The worker profile `cpu`: serves that queue and offers no GPUs; `python workers/cpu.py --broker URL`."""

from __future__ import annotations

import sys

from taskexec.cli.main import main

PROFILE = ("worker", "--profile", "cpu")

if __name__ == "__main__":
    main([*PROFILE, *sys.argv[1:]])

"""The worker profile `distributed`: serves that queue, GPUs included; `python workers/distributed.py --broker URL`."""

from __future__ import annotations

import sys

from taskexec.cli.main import main

PROFILE = ("worker", "--profile", "distributed")

if __name__ == "__main__":
    main([*PROFILE, *sys.argv[1:]])

"""The worker profile `gpu`: serves that queue and offers the GPUs; `python workers/gpu.py --broker URL`."""

from __future__ import annotations

import sys

from taskexec.cli.main import main

PROFILE = ("worker", "--profile", "gpu")

if __name__ == "__main__":
    main([*PROFILE, *sys.argv[1:]])

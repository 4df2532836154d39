"""`python -m taskexec.cluster` is a worker process; its supervisor says in the environment what it is."""

import sys

from taskexec.cluster.worker_process import main

if __name__ == "__main__":
    sys.exit(main())

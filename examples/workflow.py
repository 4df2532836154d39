"""A workflow made by a program: estimates of pi in parallel, then their mean; run it while `tek up` is up.

From the folder above this one: `tek up`, then `python examples/workflow.py`.
"""

from __future__ import annotations

import sys

from taskexec import Client, WorkflowBuilder
from taskexec.errors import TekError


def make_workflow() -> WorkflowBuilder:
    """Return four estimates with other seeds, and what their mean is."""
    flow = WorkflowBuilder("pi")
    sample = flow.stage("sample")
    for seed in range(1, 5):
        sample.add(f"part-{seed}", call="examples.estimate:count_hits", kwargs={"seed": seed}, retries=1)
    flow.stage("combine").add("pi", call="examples.estimate:combine")
    return flow


def main() -> int:
    """Submit it, say what happens, and print the result."""
    try:
        with Client() as client:
            run = client.submit(make_workflow(), tag="example")
            print(f"run {run.run_id}")
            for change in run.events():
                print(" ".join(f"{task.task}={task.status}" for task in change.tasks))
            print(f"pi is about {run.results()['pi']}")
    except TekError as error:
        for fault in error.faults():
            print(fault.render(), file=sys.stderr)
        return error.exit_status
    return 0 if run.info().succeeded else 1


if __name__ == "__main__":
    sys.exit(main())

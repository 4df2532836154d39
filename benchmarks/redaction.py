"""What it costs to keep secrets out of the output of tasks: for each MiB of it, and for each tiny task.

    python benchmarks/redaction.py

Evidence is collected as workers do, without redaction, with patterns only, and with two secrets known; the text holds
none. Processor time of one core, best of three.
"""

from __future__ import annotations

import time

from taskexec.completion.evidence import AttemptEvidence, EvidenceLimits
from taskexec.domain.secrets import Redactor

PLAIN = b"epoch 3 step 1234 loss 0.1234 lr 0.0003 speed 51234 samples a second, memory 71.2 GiB\n"
SUSPECT = b"2026-11-22 10:00:00 INFO step 1234 loss 0.1234 lr 3e-4 tokens/s 51234 gpu mem 71.2 GiB\n"
MIB = 10
TASKS = 2000
REDACTORS = {
    "without": None,
    "patterns": Redactor(),
    "two secrets": Redactor(["a-first-secret-1", "another-secret-2"]),
}


def collect(redactor: Redactor | None) -> AttemptEvidence:
    """Return evidence that goes nowhere."""
    return AttemptEvidence(lambda _: True, EvidenceLimits(total_bytes=1 << 30), redactor=redactor)


def ms_per_mib(redactor: Redactor | None, line: bytes) -> float:
    """Return what output of a line again and again costs."""
    block = (line * (65_536 // len(line) + 1))[:65_536]
    evidence = collect(redactor)
    began = time.process_time()
    for _ in range(16 * MIB):
        evidence.write("stdout.log", block)
    evidence.close()
    return (time.process_time() - began) / MIB * 1e3


def us_per_task(redactor: Redactor | None) -> float:
    """Return what the evidence of a task without output costs."""
    began = time.process_time()
    for _ in range(TASKS):
        evidence = collect(redactor)
        evidence.write("stdout.log", b"noop: nothing was executed\n")
        evidence.close()
    return (time.process_time() - began) / TASKS * 1e6


def main() -> None:
    """Measure and print."""
    for name, redactor in REDACTORS.items():
        plain = min(ms_per_mib(redactor, PLAIN) for _ in range(3))
        suspect = min(ms_per_mib(redactor, SUSPECT) for _ in range(3))
        task = min(us_per_task(redactor) for _ in range(3))
        print(f"{name:12} {plain:6.1f} ms/MiB, with a suspect word in each line {suspect:6.1f}; {task:5.1f} µs a task")


if __name__ == "__main__":
    main()

"""From a plan to Celery chains and chords, and to the program that is stored for a run."""

from taskexec.compiler.canvas import ATTEMPT_TASK, Canvas, Stage, StagedChord, compile_canvas
from taskexec.compiler.program import QueueKey, compile_program

__all__ = ["ATTEMPT_TASK", "Canvas", "QueueKey", "Stage", "StagedChord", "compile_canvas", "compile_program"]

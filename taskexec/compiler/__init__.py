"""From a plan to Celery chains and chords, and to the program that is stored for a run."""

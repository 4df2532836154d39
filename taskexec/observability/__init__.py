"""What is seen of a run: progress and account."""

"""The worker side: claim, lease, attempt, process supervision, batches."""

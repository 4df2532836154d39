"""What stands beside a plan: hooks and a manifest."""

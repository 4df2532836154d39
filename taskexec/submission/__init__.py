"""Bringing a run into the cluster and its evidence home."""

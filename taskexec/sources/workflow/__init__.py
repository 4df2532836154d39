"""Workflows: YAML, in which one entry may stand for many tasks."""

"""The plan: draft, validation, graph, estimates; an immutable, digested graph of tasks."""

"""taskexec: run a graph of tasks on a cluster, each exactly once in effect, with evidence."""

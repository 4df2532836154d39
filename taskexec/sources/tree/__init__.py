"""JSON and YAML as trees whose values know where they stand."""

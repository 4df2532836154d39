"""One task as JSON, YAML and Markdown write it."""

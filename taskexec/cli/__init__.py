"""The `tek` command."""

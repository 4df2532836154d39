"""Redis: connection, keys, scripts, the embedded server, and the memory twin."""

"""The door for programs and browsers: REST, server-sent events, pages."""

"""The words of the field as pure values and state machines; no I/O."""

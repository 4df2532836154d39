"""The latch, the evidence and the ledger."""

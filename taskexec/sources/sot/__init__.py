"""The State of Truth: a Markdown file with queues, a backlog and a ledger."""

"""Scheduled work on the ledger: find lost outcomes, make daily checkpoints."""

"""The three tables: the ledger, the consents, and what sender processes share (schedule, leases)."""

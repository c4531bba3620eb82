"""The three tables: the ledger, the consents, and the state that sender processes share (schedule, leases)."""

"""The three tables: the ledger, the consents, and the senders' shared state (schedule, leases)."""

"""`cxone-messaging audit`: all of the ledger verified, entry by entry and against its checkpoints, and exported."""

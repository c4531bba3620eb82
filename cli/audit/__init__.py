"""`cxone-messaging audit`: verify the whole ledger, by entries and by checkpoints, and export it."""

"""`cxone-messaging restore`: entries that the ledger lacks, and settings that a restored table lacks."""

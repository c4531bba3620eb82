"""The pure domain: messages, consents, the ledger's entries and their rules.

No I/O, no clock, no environment.
"""

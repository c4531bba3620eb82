"""`make demo`: from nothing to a delivered, audited message, every step checked."""

"""Does everything fit? Read-only checks of a stack, of the account that it is in, and of CXone's answers."""

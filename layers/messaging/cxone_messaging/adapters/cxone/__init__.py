"""CXone's HTTP APIs: connections, tokens, sending, administration."""

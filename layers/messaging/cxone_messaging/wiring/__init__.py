"""The compositions that several functions share: of a send, of tokens, of events, and of each API of CXone's."""

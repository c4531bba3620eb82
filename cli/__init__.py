"""The operators' command line: it works on any stack, on this machine and on AWS."""

"""`python -m cli` is the command `cxone-messaging`."""

from cli.app import main

main()

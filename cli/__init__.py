"""The command line of those who run a deployment: what works on any stack, here and on AWS."""

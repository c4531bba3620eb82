"""Receive CXone's events: delivery receipts, replies, events about templates."""

"""Receive CXone's events: delivery receipts, replies, news of templates."""

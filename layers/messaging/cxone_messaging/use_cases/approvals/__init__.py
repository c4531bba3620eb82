"""Approve templates: validate, approve, register with the carriers, subscribe to events."""

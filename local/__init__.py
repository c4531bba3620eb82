"""What runs the bundle on one machine."""

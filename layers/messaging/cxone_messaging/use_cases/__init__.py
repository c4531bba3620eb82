"""What the bundle does, one module a use case; handlers call these and nothing else."""

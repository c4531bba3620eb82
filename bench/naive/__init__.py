"""What a developer writes first; measured beside ours."""

"""A street under a moving camera."""

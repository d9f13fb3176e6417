"""Pictures from seeds."""

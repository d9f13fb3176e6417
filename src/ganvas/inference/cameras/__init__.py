"""Pictures from cameras."""

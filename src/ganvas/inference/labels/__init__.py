"""Pictures from label maps."""

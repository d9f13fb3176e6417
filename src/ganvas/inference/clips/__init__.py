"""Video from label maps."""

"""Video files and numbered frames."""

"""SPAN, a fast super-resolution network."""

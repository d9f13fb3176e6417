"""Inception of 2015, the features of FID."""

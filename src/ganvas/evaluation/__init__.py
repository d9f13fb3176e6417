"""Scores over files, sets and models."""

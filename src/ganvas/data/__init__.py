"""Batches from folders."""

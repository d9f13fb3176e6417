"""Data that Ganvas draws itself."""

"""Solved cameras in the formats of trackers, scanners and 3D programs."""

from ganvas.io.cameras.cameras import Camera, Given, Solve, read, write

__all__ = ["Camera", "Given", "Solve", "read", "write"]

"""vid2vid's sequential generator."""

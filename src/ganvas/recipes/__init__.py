"""One paper or post, one readable file."""

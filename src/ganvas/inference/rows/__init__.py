"""Networks run on strips, tiles and rows."""

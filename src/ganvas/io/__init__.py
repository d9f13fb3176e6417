"""Files and codecs: the only rooms that touch them."""

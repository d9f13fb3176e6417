"""What pages ask the server for, a file a page."""

"""The studio: every method by hand, in the browser. What it does, a command does, and the page shows that command."""

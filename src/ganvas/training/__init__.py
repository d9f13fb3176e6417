"""The one training loop. It knows no recipe by name."""

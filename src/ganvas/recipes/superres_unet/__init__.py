"""SuperResGANUnet: `recipe` reads like its description, `settings` holds its values."""

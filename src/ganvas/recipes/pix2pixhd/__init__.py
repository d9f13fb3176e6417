"""pix2pixHD (Wang et al. 2018): `recipe` reads like the paper, `settings` holds its values."""

"""Reverse matchmove (NeuralVFX 2018): `recipe` reads like the posts, `settings` holds their values."""

"""vid2vid (Wang et al. 2018): `recipe` reads like the paper; each of the other files is one of its sections."""

"""The ESRGAN family's generators: RRDBNet, the compact net and SRResNet."""

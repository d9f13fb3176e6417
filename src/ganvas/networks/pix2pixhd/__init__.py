"""pix2pixHD's generators and encoder."""

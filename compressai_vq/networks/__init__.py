"""The encoders and decoders: image to latent, and back."""

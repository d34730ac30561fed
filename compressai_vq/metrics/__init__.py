"""Perceptual metrics on backbones that are checked."""

"""Tests of what hooks into host tools."""

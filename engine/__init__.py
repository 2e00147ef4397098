"""Circuits, lenses and their comparison; importing this package imports no torch."""

"""Masks as numbers and files: run lengths, index PNGs and the formats of other tools. numpy only, never torch."""

from .geometry import boxes, centroid

__all__ = ["boxes", "centroid"]

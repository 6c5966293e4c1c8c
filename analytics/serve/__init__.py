"""Doors for other programs; they need the extra `serve`."""

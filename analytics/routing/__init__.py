"""Answers routing questions from published snapshots, in memory: which model should take this query, and why."""

from .lookup import Lookup
from .records import Evidence, Fallback, Part, RouteAnswer, RouteQuery

__all__ = ["Evidence", "Fallback", "Lookup", "Part", "RouteAnswer", "RouteQuery"]

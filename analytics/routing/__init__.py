"""Answers routing questions from published snapshots, in memory: which model should take this query, and why."""

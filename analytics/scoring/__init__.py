"""Scores from evidence: the SQL of `sql/scoring` over the lake, checked, and published whole or not at all."""

from analytics.scoring.build import POINTERS, PUBLISHED, ScoreReport, score
from analytics.scoring.publish import publish, remove_old

__all__ = ["POINTERS", "PUBLISHED", "ScoreReport", "publish", "remove_old", "score"]

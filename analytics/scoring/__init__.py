"""Scores from evidence: the SQL of `sql/scoring` over the lake, checked, and published whole or not at all."""

from analytics.routing.caps import VoteCaps
from analytics.scoring.build import POINTERS, PUBLISHED, ScoreReport, score
from analytics.scoring.configuration import publish_configuration
from analytics.scoring.publish import publish, remove_old
from analytics.scoring.sealing import Prunable, prunable, seal, sealed_files
from analytics.scoring.writeback import write_back

__all__ = [
    "POINTERS",
    "PUBLISHED",
    "Prunable",
    "ScoreReport",
    "VoteCaps",
    "prunable",
    "publish",
    "publish_configuration",
    "remove_old",
    "score",
    "seal",
    "sealed_files",
    "write_back",
]

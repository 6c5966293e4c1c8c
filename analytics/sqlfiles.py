"""The `sql/` tree, wherever it lies: beside the packages in a checkout, inside `analytics/` in a wheel."""

from pathlib import Path

_HERE = Path(__file__).parent
ROOT = next(path for path in (_HERE / "_sql", _HERE.parent / "sql") if path.is_dir())


def files(folder: str) -> dict[str, Path]:
    """The SQL files of one folder (`scoring`, `migrations/sqlite`) by stem, in name order."""
    return {path.stem: path for path in sorted((ROOT / folder).glob("*.sql"))}

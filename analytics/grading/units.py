"""Units of measure that grader `numeric` converts: their dimension, and how many of its base unit one of them is."""

import re
from decimal import Decimal

# dimension: {symbol or name: how many of the first}
_TABLE: dict[str, dict[str, str]] = {
    "length": {"m": "1", "km": "1000", "dm": "0.1", "cm": "0.01", "mm": "0.001", "\u00b5m": "0.000001", "um": "0.000001", "nm": "0.000000001",
               "metre": "1", "meter": "1", "kilometre": "1000", "kilometer": "1000", "centimetre": "0.01", "centimeter": "0.01",
               "millimetre": "0.001", "millimeter": "0.001", "inch": "0.0254", "inches": "0.0254", "foot": "0.3048", "feet": "0.3048",
               "mile": "1609.344"},
    "mass": {"g": "1", "kg": "1000", "mg": "0.001", "\u00b5g": "0.000001", "ug": "0.000001", "mcg": "0.000001", "gram": "1", "kilogram": "1000",
             "milligram": "0.001", "microgram": "0.000001", "tonne": "1000000"},
    "time": {"s": "1", "ms": "0.001", "min": "60", "h": "3600", "second": "1", "minute": "60", "hour": "3600", "day": "86400",
             "week": "604800"},
    "volume": {"l": "1", "L": "1", "dl": "0.1", "dL": "0.1", "cl": "0.01", "ml": "0.001", "mL": "0.001", "litre": "1", "liter": "1",
               "millilitre": "0.001", "milliliter": "0.001", "m^3": "1000", "dm^3": "1", "cm^3": "0.001", "mm^3": "0.000001"},
    "area": {"m^2": "1", "km^2": "1000000", "dm^2": "0.01", "cm^2": "0.0001", "mm^2": "0.000001", "ha": "10000", "hectare": "10000"},
    "speed": {"m/s": "3.6", "km/h": "1"},
    "rate": {"ml/h": "1", "mL/h": "1", "ml/min": "60", "mL/min": "60", "l/h": "1000", "L/h": "1000"},
    "share": {"%": "1", "percent": "1"},
    "pressure": {"Pa": "1", "hPa": "100", "kPa": "1000", "bar": "100000"},
    "energy": {"J": "1", "kJ": "1000", "kcal": "4184"},
    "information": {"B": "1", "kB": "1000", "MB": "1000000", "GB": "1000000000", "KiB": "1024", "MiB": "1048576", "GiB": "1073741824",
                    "byte": "1", "bit": "0.125"},
    "angle": {"\u00b0": "1", "degree": "1"},
}  # fmt: skip
_UNITS = {name: (dimension, Decimal(factor)) for dimension, names in _TABLE.items() for name, factor in names.items()}
_SPELLING = str.maketrans({"\u00b2": "^2", "\u00b3": "^3", "\u03bc": "\u00b5"})
_WORD = re.compile(
    r"[\s*_`]{0,4}(?:\\[,;! ]|~|\\(?:text|mathrm)\{|\s){0,3}((?:[A-Za-z\u00b5\u03bc]{1,14}(?:[\u00b2\u00b3]|\^\{?[23]\}?)?(?:/[A-Za-z]{1,6})?)|%|\\%|\u00b0)"
)


def unit_after(text: str, position: int) -> tuple[str, Decimal] | None:
    """(dimension, factor) of the unit that stands at `position`, or None where there is none that is known."""
    match = _WORD.match(text, position)
    return named(match[1]) if match else None


def named(name: str) -> tuple[str, Decimal] | None:
    """(dimension, factor) of a unit by its symbol, or by its name in any case, singular or plural."""
    plain = name.strip().translate(_SPELLING).replace("{", "").replace("}", "").replace("\\", "")
    words = plain.lower()
    written_out = words if len(words) > 3 else plain
    return _UNITS.get(plain) or _UNITS.get(written_out) or _UNITS.get(written_out.removesuffix("s"))

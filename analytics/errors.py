"""What can go wrong with tables.

::

    AnalyticsError
    ├── BadRows          (ValueError) rows or a file from a user are unusable; nothing was written
    ├── UnknownName      (ValueError) a table, query, column or message that does not exist
    ├── StoreUnavailable the store cannot be reached or written now; what is in the spool stays there
    ├── SchemaMismatch   the store's schema is older or newer than this program
    ├── SpoolFull        no room to record a result, so no call may be made
    ├── LeaseHeld        another process is extracting or scoring
    ├── CheckFailed      computed scores are not fit to be published; the last snapshot stays
    ├── GradingUnavailable  a reply could not be graded for a reason that is not its own; it counts as not graded
    └── Corrupt          a file does not match its recorded checksum; it was left out
"""


class AnalyticsError(Exception):
    """Any error of this package."""


class BadRows(AnalyticsError, ValueError):
    """Rows from a user are unusable; the message names the row, the column and what is wrong."""


class UnknownName(AnalyticsError, ValueError):
    """A name that does not exist; the message lists those that do."""


class StoreUnavailable(AnalyticsError):
    """The store cannot be reached or written at the moment."""


class SchemaMismatch(AnalyticsError):
    """The store's schema is not this program's; the message says which migration is missing."""


class SpoolFull(AnalyticsError):
    """There is no room to record a result: a paid call must not be made."""


class LeaseHeld(AnalyticsError):
    """Another process holds the lease on the lake."""


class CheckFailed(AnalyticsError):
    """Scores that a check refuses; the message names the checks and offending rows. Nothing was published."""


class GradingUnavailable(AnalyticsError):
    """A reply could not be graded on this machine; nothing is said about the reply."""


class Corrupt(AnalyticsError):
    """A file's bytes are not the ones that were published."""

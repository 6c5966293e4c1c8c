"""Whether a reply is right. Graders are deterministic, and linear in the length of the reply; `code` runs it, within limits.

`code` starts a process and waits for it, so grading belongs into a thread wherever something else must go on meanwhile.
"""

from collections.abc import Callable, Mapping

from analytics.errors import BadRows
from analytics.grading.choice import choice
from analytics.grading.exact import exact
from analytics.grading.numeric import numeric
from analytics.grading.pattern import check as check_pattern
from analytics.grading.pattern import regex
from analytics.grading.program import code, read_tests
from analytics.grading.structure import equal_json

GRADERS: Mapping[str, Callable[[str, str], bool]] = {
    "exact": exact,
    "numeric": numeric,
    "choice": choice,
    "json": equal_json,
    "regex": regex,
    "code": code,
}


def grade(grader: str, expected: str, response: str) -> bool:
    """Whether `response` gives the answer `expected`, in the eyes of the named grader.

    Raises `BadRows` for an unknown grader, or an expected answer that its grader cannot use; never for a reply.
    `GradingUnavailable` when this machine could not run a program.
    """
    return _known(grader)(expected, response)


def check(grader: str, expected: str) -> None:
    """Raise `BadRows` as `grade` would for every reply; nothing is run."""
    if grader == "code":
        read_tests(expected)
    elif grader == "regex":
        check_pattern(expected)
    else:
        _known(grader)(expected, "")


def _known(grader: str) -> Callable[[str, str], bool]:
    if grader not in GRADERS:
        raise BadRows(f"grader '{grader}' does not exist; there are {', '.join(GRADERS)}")
    return GRADERS[grader]

"""Whether a reply is right. Graders are pure, deterministic and linear in the length of the reply."""

from collections.abc import Callable, Mapping

from analytics.errors import BadRows
from analytics.grading.choice import choice
from analytics.grading.exact import exact
from analytics.grading.numeric import numeric

GRADERS: Mapping[str, Callable[[str, str], bool]] = {"exact": exact, "numeric": numeric, "choice": choice}


def grade(grader: str, expected: str, response: str) -> bool:
    """Whether `response` gives the answer `expected`, in the eyes of the named grader.

    Raises `BadRows` for an unknown grader, or an expected answer that its grader cannot use; never for a reply.
    """
    if grader not in GRADERS:
        raise BadRows(f"grader '{grader}' does not exist; there are {', '.join(GRADERS)}")
    return GRADERS[grader](expected, response)

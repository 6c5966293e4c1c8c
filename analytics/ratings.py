"""One opinion from a person or a program, recorded under the name that the catalog gives its model."""

from collections.abc import Mapping
from typing import Any

from analytics.errors import BadRows, UnknownName
from analytics.events import ModelNames
from analytics.store import Row, Store, new_id, now_text


def record_rating(store: Store, message_id: str, given: Mapping[str, Any]) -> Row:
    """Record a `rating` (0..1) or a `signal` on a message, with those other columns of `feedback_events` that are not None.

    Raises BadRows for both or neither or no message, UnknownName for a model that no catalog knows or a message that no request carries.
    """
    said = {name: value for name, value in given.items() if value is not None}
    if ("rating" in said) == ("signal" in said):
        raise BadRows("feedback: either a rating or a signal is needed, not both")
    if not message_id.strip():
        raise BadRows("feedback: the message's id is empty; it is the id by which the request was recorded")
    row: Row = {
        "id": new_id(),
        "message_id": message_id,
        "created_at": now_text(),
        "feedback_type": "implicit" if "signal" in said else "explicit",
        **said,
    }
    if "model" not in said:
        return store.submit_feedback(row)
    names = ModelNames(store.read_all("catalog"))
    if not names.knows(said["model"]):
        raise UnknownName(f"There is no model '{said['model']}'; 'scorehouse models list' shows those that are there")
    return store.submit_feedback(names.resolve(row))

"""What `status` says of a house that is not in order."""

import shutil

import pytest
from house import House

from flows.jobs.status import house_status


def test_of_a_new_house_nothing_has_failed(house: House) -> None:
    found = house_status(house.settings)
    assert found.is_healthy
    assert {part.name: part.state for part in found.parts}["spool"] == "ok"


@pytest.mark.parametrize(
    ("folder", "parts"),
    [("lake", {"lake", "reconciliation"}), ("spool", {"spool"}), ("scoring", {"snapshot", "simulated_snapshot"})],
)
def test_a_folder_that_is_a_file_fails_its_part_and_no_other(house: House, folder: str, parts: set[str]) -> None:
    assert house_status(house.settings).is_healthy
    place = getattr(house.settings.home, folder)
    shutil.rmtree(place, ignore_errors=True)
    place.write_text("no folder")
    found = house_status(house.settings)
    failed = {part.name: part.detail for part in found.parts if part.state == "failed"}
    assert set(failed) == parts
    assert set(failed.values()) == {f"{place}: Not a directory"}


def test_a_house_whose_home_is_a_file_has_nothing_in_order(house: House) -> None:
    shutil.rmtree(house.home, ignore_errors=True)
    house.home.write_text("no folder")
    found = house_status(house.settings)
    assert {part.name: part.state for part in found.parts} == {
        "store": "failed", "spool": "failed", "snapshot": "failed", "simulated_snapshot": "failed"
    }  # fmt: skip
    assert found.parts[0].detail == f"{house.settings.home.store}: {house.home} is no folder"

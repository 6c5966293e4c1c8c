"""Where the demo keeps its house."""

from pathlib import Path

from flows.commands.demo import home_of_demo


def test_the_demo_lives_in_a_folder_of_its_own(tmp_path: Path) -> None:
    assert home_of_demo(tmp_path) == tmp_path / "demo"


def test_a_demo_that_is_told_its_own_folder_stays_in_it(tmp_path: Path) -> None:
    made = tmp_path / "demo"
    (made / "prefect").mkdir(parents=True)
    assert home_of_demo(made) == made
    assert home_of_demo(tmp_path) == made


def test_a_home_that_is_only_named_like_it_gets_no_simulated_providers(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    home.mkdir()
    assert home_of_demo(home) == home / "demo"

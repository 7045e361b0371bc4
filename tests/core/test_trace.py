"""The life of one partition in docs/architecture.md is what the core does today."""

from tests.core.trace import PAGE, renewed, trace


def test_the_page_shows_what_the_core_does() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == renewed(page), "stale: python -m tests.core.trace --write"


def test_a_life_has_all_its_steps_in_order() -> None:
    words = " ".join(line.split()[2].rstrip(":") for line in trace())
    assert words == (
        "assigned Kafka owner checked confirmed restored received outcome confirmed batch dispatched claimed "
        "outcome confirmed end confirmed revoked"
    )

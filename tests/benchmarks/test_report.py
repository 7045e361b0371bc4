"""Figures as the page shows them."""

import re

import pytest

from benchmarks.kept import Window
from benchmarks.model import Model, fit
from benchmarks.pages import renewed
from benchmarks.tables import Column, listed, table

PAGE = """words
<!-- figures: one -->
old
<!-- end -->
between
<!-- figures: two -->
<!-- end -->
"""


def test_parts_of_a_page_are_renewed_and_the_rest_stays() -> None:
    page = renewed(PAGE, {"one": lambda: "1", "two": lambda: "2"})
    assert re.findall(r"^\w+$", page, re.MULTILINE) == ["words", "1", "between", "2"]
    assert renewed(page, {"one": lambda: "1", "two": lambda: "2"}) == page


@pytest.mark.parametrize(
    "page",
    [
        PAGE.replace("<!-- figures: two -->", ""),
        PAGE.replace("two", "three"),
        PAGE.replace("two", "one"),
        PAGE.replace("<!-- end -->", "", 1),
    ],
    ids=["missing", "unknown", "twice", "without end"],
)
def test_a_page_with_other_parts_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="part"):
        renewed(page, {"one": lambda: "1", "two": lambda: "2"})


def test_the_model_finds_what_records_and_batches_cost() -> None:
    points = [(batch, 1.5 + 80 / batch) for batch in (50, 100, 1000, 5000)]
    found = fit(points)
    assert found.a == pytest.approx(1.5)
    assert found.b == pytest.approx(80)
    assert found.worst_error(points) == pytest.approx(0)


def test_the_model_weighs_cheap_and_dear_points_alike() -> None:
    """One that is twice off is not fitted at the cost of all others because it is large."""
    points = [(1.0, 100.0), (2.0, 60.0), (1000.0, 1.0), (2000.0, 1.0)]
    assert fit(points).at(1000) == pytest.approx(1.0, rel=0.15)


def test_one_size_of_batches_gives_no_model() -> None:
    with pytest.raises(ValueError, match="two batch sizes"):
        fit([(100.0, 2.0), (100.0, 2.1)])


def test_the_worst_error_is_a_share_of_what_was_measured() -> None:
    assert Model(1.0, 0.0).worst_error([(10.0, 1.0), (10.0, 0.8)]) == pytest.approx(0.25)


def _window(case: str, rate: float, *, noisy: bool = False) -> Window:
    return Window(case, 1, {"rate": rate}, 1.0, "2026-01-01T00:00:00+00:00", "now", "a machine", noisy)


def test_a_table_shows_medians_with_least_and_most_and_what_was_noisy() -> None:
    windows = [_window("a/a", 1000), _window("a/a", 3000, noisy=True), _window("a/a", 1500), _window("a/bare", 6000)]
    rows = table(windows, {"a/a": "first", "a/none": "none"}, [Column("rate", "records/s")], "a/bare").splitlines()
    assert [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if "--" not in row] == [
        ["", "records/s", "of bare", "windows"],
        ["first", "1,500 (1,000-3,000)", "0.25", "3, 1 noisy"],
    ]


def test_figures_that_have_little_in_common_are_listed_without_the_points_of_series() -> None:
    figures = {"tail_s": 0.0125, "rate_without": 400_000.0, "rate_1": 1.0, "rss_mib_0.25": 2.0}
    window = Window("a/a", 1, figures, 1.0, "2026-01-01T00:00:00+00:00", "now", "a machine")
    rows = [
        [cell.strip() for cell in row.strip("|").split("|")] for row in listed([window], {"a/a": "it"}).splitlines()
    ]
    assert rows[2:] == [["it", "tail s", "0.0125", "1"], ["it", "rate without", "400,000", "1"]]

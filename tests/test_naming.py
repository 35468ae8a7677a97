"""Names in a figure: none on another or on a mark, the first entries first."""

from __future__ import annotations

import random

from fracbench_leaderboard.naming import LETTER, LINE, MARK, OFFSETS, name_places


def test_alone_a_name_stands_right_above_its_point() -> None:
    assert name_places([(100, 100)], ["alone"]) == [OFFSETS[0]]


def test_close_points_have_their_names_on_different_sides_and_the_last_may_have_none() -> None:
    close = [(100.0, 100.0)] * (len(OFFSETS) + 1)
    assert name_places(close, ["entry"] * len(close)) == [*OFFSETS, None]


def test_a_point_without_a_name_keeps_its_place() -> None:
    above = (100.0, 100.0 + OFFSETS[0])
    assert name_places([(100, 100), above], ["entry"]) == [OFFSETS[1]]


def test_no_two_names_meet_and_none_lies_on_a_mark() -> None:
    rng = random.Random(0)
    points = [(rng.uniform(0, 600), rng.uniform(0, 400)) for _ in range(60)]
    names = ["x" * rng.randint(4, 30) for _ in points]
    places = name_places(points, names)
    assert {None} < set(places)
    drawn = [(x, y + place, len(name) * LETTER / 2, LINE / 2)
             for (x, y), name, place in zip(points, names, places, strict=True) if place is not None]  # fmt: skip
    marks = [(x, y, MARK, MARK) for x, y in points]
    for place, (x, y, wide, tall) in enumerate(drawn):
        for other_x, other_y, other_wide, other_tall in drawn[place + 1 :] + marks:
            assert abs(x - other_x) >= wide + other_wide - 1e-9 or abs(y - other_y) >= tall + other_tall - 1e-9

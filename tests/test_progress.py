"""What people see while they wait."""

from __future__ import annotations

import pytest
from fracbench import progress
from fracbench.progress import Clock, Console, Transfer


class Time:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_time_left_follows_the_planned_passes(time: Time) -> None:
    clock = Clock(100)
    clock.next(10, cached=False)
    assert clock.remaining() == "estimating"
    time.now = 20
    clock.next(30, cached=False)  # 10 of 100 took 20 seconds, 90 are left
    assert clock.remaining() == "3:00 left"


def test_cells_read_back_tell_nothing_of_speed(time: Time) -> None:
    clock = Clock(100)
    clock.next(50, cached=True)
    time.now = 1
    clock.next(25, cached=False)
    assert clock.remaining() == "estimating"
    time.now = 11
    clock.next(25, cached=False)
    assert clock.remaining() == "0:10 left"


def test_plain_lines_come_seldom_and_end_with_all_cells(time: Time, capsys: pytest.CaptureFixture[str]) -> None:
    with Console(4, 4, live=False) as console:
        console.submission = "a"
        for label in ("clean", "fgsm", "pgd", "saliency on clean"):
            time.now += 6
            console.cell(label, 1, cached=False)
        console.note("a word in between")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("0/4 cells, estimating: a: clean") and "a word in between" in lines
    assert (
        lines[-1].startswith("4/4 cells") and lines[-1].endswith("done") and not any("\x1b" in line for line in lines)
    )


def test_a_run_that_stops_early_does_not_end_with_all_cells(time: Time, capsys: pytest.CaptureFixture[str]) -> None:
    with Console(4, 4, live=False) as console:
        for label in ("clean", "fgsm"):
            console.cell(label, 1, cached=False)
        console.stopped = True
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("1/4 cells") and last.endswith("stopped")


def test_a_terminal_gets_a_live_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with Console(2, 2, live=True) as console:
        console.submission = "a"
        console.cell("clean", 1, cached=False)
        console.note("failed: [red] is no markup")
        console.cell("fgsm", 1, cached=False)
    shown = capsys.readouterr().err
    assert "failed: [red] is no markup" in shown and "2/2" in shown


def test_a_download_tells_bytes_and_time_left_every_five_seconds(
    time: Time, capsys: pytest.CaptureFixture[str]
) -> None:
    with Transfer("weights of a", 10**8, live=False) as shown:
        for at, done in ((0, 2 * 10**7), (1, 3 * 10**7), (6, 5 * 10**7), (7, 10**8)):  # 20 MB were there before
            time.now = at
            shown(done)
    assert capsys.readouterr().err.splitlines() == [
        "weights of a: 20.0 of 100.0 MB, estimating",
        "weights of a: 50.0 of 100.0 MB, 0:10 left",
        "weights of a: 100.0 of 100.0 MB, 0:00 left",
    ]


def test_a_download_on_a_terminal_is_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with Transfer("weights of [a]", 10**8, live=True) as shown:
        shown(5 * 10**7)
    assert "weights of [a]" in (err := capsys.readouterr().err) and "50.0/100.0 MB" in err

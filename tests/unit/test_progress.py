"""What long work says in the meantime."""

import logging

import pytest

from ptrag.base import progress
from ptrag.base.progress import Progress, duration


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test turns on."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


def test_a_line_says_what_how_far_and_how_long_still(clock, caplog):
    caplog.set_level(logging.INFO, "ptrag")
    work = Progress("ridge", 5, "pairs predicted")
    clock.now += 10
    work.step()
    assert not caplog.messages, "not yet"
    clock.now += 30
    work.step()
    clock.now += 30
    work.step()
    assert caplog.messages == [
        "ridge: 2 of 5 pairs predicted, 0.0333/s, about 2 min left",
        "ridge: 3 of 5 pairs predicted, 0.0333/s, about 60 s left",
    ]
    work.step(2)
    assert caplog.messages[2] == "ridge: 5 of 5 pairs predicted, 0.0667/s, about 0 s left"


def test_a_long_first_step_says_nothing_of_the_others(clock, caplog):
    caplog.set_level(logging.INFO, "ptrag")
    work = Progress("ridge", 440, "pairs predicted")
    clock.now += 36
    work.step()
    assert caplog.messages == ["ridge: 1 of 440 pairs predicted"]
    clock.now += 22
    work.step(219)
    assert caplog.messages[1] == "ridge: 220 of 440 pairs predicted, 9.95/s, about 22 s left"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(40.4, "40 s"), (720, "12 min"), (7500, "2 h 05 min"), (3599, "1 h 00 min")],
)
def test_times_in_words(seconds, words):
    assert duration(seconds) == words

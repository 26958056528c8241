"""What long work says in the meantime: what it is, how far it is and how long it still takes."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger("ptrag")

SPEAK_SECONDS = 20.0  # between lines of the log


class Progress:
    """Counts what is done and writes a line into the log now and then, and at the end.

    Parameters
    ----------
    work
        What is being done, such as ``ptrag seed 1``.
    total
        How many there are to do.
    unit
        Of what, in the plural, with a participle: ``pairs predicted``.
    """

    def __init__(self, work: str, total: int, unit: str) -> None:
        self.work, self.total, self.unit, self.done = work, total, unit, 0
        self._spoken = time.monotonic()
        self._first: tuple[int, float] | None = None  # how many were done first, and when

    def step(self, n: int = 1) -> None:
        """Count ``n`` more as done."""
        self.done += n
        now = time.monotonic()
        if now - self._spoken > SPEAK_SECONDS or self.done == self.total:
            self._spoken = now
            logger.info(
                "%s: %d of %d %s%s", self.work, self.done, self.total, self.unit, self._pace(now)
            )
        self._first = self._first or (self.done, now)

    def _pace(self, now: float) -> str:
        """Return rate and time left by the steps after the first, which prepares the others."""
        if self._first is None:
            return ""
        first, begun = self._first
        rate = (self.done - first) / max(now - begun, 1e-9)
        return f", {rate:.3g}/s, about {duration((self.total - self.done) / rate)} left"

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count one step that may be long: while it lasts, the log says so now and then."""
        done, begun = threading.Event(), time.monotonic()

        def speak() -> None:
            while not done.wait(SPEAK_SECONDS):
                logger.info(
                    "%s: %d of %d %s; %s, for %s so far", self.work, self.done, self.total,
                    self.unit, name, duration(time.monotonic() - begun),
                )  # fmt: skip

        speaker = threading.Thread(target=speak, daemon=True, name="progress")
        speaker.start()
        try:
            yield
        finally:
            done.set()
            speaker.join()
        self.step()


def duration(seconds: float) -> str:
    """Return seconds as ``2 h 05 min``, ``12 min`` or ``40 s``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"

"""How far a batch is: lines, tokens a second, seconds left; and two ways to show it."""

from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

EVERY_S = 5.0


@dataclass(slots=True)
class Count:
    """Counts of one run. Pure: who asks brings the time, in seconds of any one clock."""

    total: int
    """Lines of the input."""
    before: int = 0
    """Lines that earlier runs have done."""
    now: int = 0
    """Lines that this run has done."""
    errors: int = 0
    """Those of them that went to the errors' file."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    doing: str = "starting"
    """What is done before the engine's first answer."""
    began: float | None = None
    """When the engine was ready; None until its first answer."""
    ended: float | None = None
    """When its last answer was there."""

    def add(self, usage: dict[str, Any], *, error: bool) -> None:
        """Count a line that was done, by its answer's usage."""
        self.now += 1
        self.errors += error
        self.prompt_tokens += usage.get("prompt_tokens") or 0
        self.completion_tokens += usage.get("completion_tokens") or 0

    def seconds(self, now: float) -> float:
        """Seconds from when the engine was ready until now, or until the end; 0 before."""
        until = now if self.ended is None else self.ended
        return 0.0 if self.began is None else max(0.0, until - self.began)

    def rate(self, now: float) -> float:
        """Tokens generated a second, of the answers that are there; 0 before the first."""
        seconds = self.seconds(now)
        return self.completion_tokens / seconds if seconds else 0.0

    def left_s(self, now: float) -> float | None:
        """Seconds until the last line at the pace of this run, or None before its first line.

        A line that is being worked on counts as not begun, so this errs on the long side.
        """
        seconds = self.seconds(now)
        if not self.now or not seconds:
            return None
        return seconds / self.now * (self.total - self.before - self.now)


def clock_time(seconds: float | None) -> str:
    """Seconds as h:mm:ss or m:ss; dashes for None."""
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def figures(count: Count, now: float) -> str:
    """The counts in a few words."""
    if count.began is None:
        return count.doing
    errors = f", {count.errors} with an error" if count.errors else ""
    return (
        f"{count.rate(now):,.0f} tokens/s, {clock_time(count.seconds(now))} elapsed, "
        f"{clock_time(count.left_s(now))} left{errors}"
    )


class View(Protocol):
    """Shows counts to somebody."""

    def show(self, count: Count, now: float) -> None:
        """Show the counts of this moment; called many times a second."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Bar:
    """A progress bar, for terminals."""

    def __init__(self, console: Console, total: int) -> None:
        """Draw the bar, empty."""
        self._bar = Progress(
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TextColumn("{task.description}"),
            console=console,
            expand=True,
        )
        self._task = self._bar.add_task("", total=total)
        self._bar.start()

    def show(self, count: Count, now: float) -> None:
        """Change what the bar shows; it is drawn some ten times a second, however often."""
        done = count.before + count.now
        self._bar.update(self._task, completed=done, description=figures(count, now))

    def close(self) -> None:
        """Draw it a last time, and stop."""
        self._bar.stop()


class Lines:
    """A line every few seconds, where there is no terminal."""

    def __init__(self, stream: TextIO, every_s: float = EVERY_S) -> None:
        """Write to a stream, every so many seconds at most."""
        self._stream = stream
        self._every_s = every_s
        self._last: float | None = None
        self._said = ""

    def show(self, count: Count, now: float) -> None:
        """Write a line if the last one is old enough, and said something else."""
        if self._last is not None and now - self._last < self._every_s:
            return
        done = count.before + count.now
        line = f"{done}/{count.total} ({done / count.total:.0%}): {figures(count, now)}\n"
        if line == self._said:
            return
        self._last, self._said = now, line
        self._stream.write(line)
        self._stream.flush()

    def close(self) -> None:
        """Nothing to leave."""


def view(stream: TextIO, total: int) -> View:
    """The way to show progress that a stream can."""
    console = Console(file=stream)
    return Bar(console, total) if console.is_terminal else Lines(stream)

"""One engine in virtual time, by its mean: no event for a token, none for a plain step.

A step that computes prompts is an event. Between two of them all answers decode at one pace,
which their number and contexts give: an answer that begins at `_made` ends when that has grown by
its length. Left out are what differs from answer to answer within a step (which drafts are
accepted, blocks that are only partly full) and the engine's own work between steps.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from r1.fleet.scale.machine import Machine

_LOOK_S = 2.0
"""The longest time in which a pace is taken to stay as it is, although contexts grow."""
_NEAR = 1e-6


class Listener(Protocol):
    """Hears of one answer."""

    def first(self) -> None:
        """Its first token came."""

    def ended(self, tokens: int, *, lost: bool) -> None:
        """It is whole, or the engine was `lost` after `tokens` of it."""


class Gaps(Protocol):
    """Hears of the time between tokens."""

    def gap(self, seconds: float, tokens: int) -> None:
        """`tokens` came, `seconds` after those before them."""


@dataclass(eq=False, slots=True)
class Job:
    """One answer: `context` tokens lie before its next one, `fresh` of them are not computed."""

    context: int
    left: int
    conversation: int
    listener: Listener
    answer: int = field(init=False)
    fresh: int = field(init=False)
    cached: int = 0
    began: bool = False
    ends: float = 0.0
    """When `_made` has this value the answer is whole; only while it decodes."""
    base: float = 0.0
    """Its context less `_made`; only while it decodes."""
    stopped: float = 0.0
    """When it lost its place in the KV cache."""

    def __post_init__(self) -> None:
        self.answer, self.fresh = self.left, self.context


class Replica:
    """An engine with its queue. All of its work happens in timers of `loop`."""

    def __init__(
        self, url: str, zone: int, machine: Machine, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.url = url
        self.zone = zone
        self.gaps: Gaps | None = None
        self.slow = 1.0
        """A factor on the time of each step."""
        self.preemptions = 0
        self._machine = machine
        self._loop = loop
        self._numbers = count()
        self._waiting: deque[Job] = deque()
        self._running: dict[Job, None] = {}
        self._ends: list[tuple[float, int, Job]] = []
        self._made = 0.0
        """Tokens that an answer got which decodes since the beginning."""
        self._base = 0.0
        """Of all contexts together, less `_made` for each."""
        self._since = 0.0
        self._step_s = 0.0
        self._mixed = False
        """Whether the step under way computes prompts."""
        self._prefill: list[tuple[Job, int]] = []
        """These prompts, with their tokens in it."""
        self._timer: asyncio.TimerHandle | None = None
        self._known: OrderedDict[int, int] = OrderedDict()
        self._known_tokens = 0

    @property
    def in_flight(self) -> int:
        """Answers that it has, the waiting ones included."""
        return len(self._waiting) + len(self._running) + len(self._prefill)

    @property
    def held(self) -> float:
        """Tokens in the KV cache that answers under way need."""
        chunks = sum(job.context - job.fresh for job, _ in self._prefill)
        return self._base + len(self._running) * self._made + chunks

    def start(self, job: Job) -> None:
        """Queue an answer."""
        self._waiting.append(job)
        self._plan()

    def stop(self, job: Job) -> None:
        """Forget an answer; one that is over is no fault."""
        if job in self._running:
            self._advance()
            self._drop(job)
            self._plan()
        elif job in self._waiting:
            self._waiting.remove(job)
        else:
            # Its tokens are computed to the end of the step, for nobody.
            self._prefill = [each for each in self._prefill if each[0] is not job]

    def lose(self) -> None:
        """The engine dies, with all that it has."""
        self._advance()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._mixed = False
        lost = [*self._running, *(job for job, _ in self._prefill), *self._waiting]
        for job in self._running:
            job.left = max(1, round(job.ends - self._made))
        self._running, self._prefill = {}, []
        self._waiting.clear()
        self._ends.clear()
        self._base = 0.0
        for job in lost:
            job.listener.ended(job.answer - job.left, lost=True)

    # Time

    def _pace(self) -> float:
        """Seconds of a plain step now."""
        running = len(self._running)
        context = self._base / running + self._made
        return self.slow * self._machine.step_s(running, context, 0)

    def _advance(self) -> None:
        """What was decoded since the last look; nothing within a step that has prompts in it."""
        now = self._loop.time()
        if self._running and not self._mixed and self._step_s:
            tokens = (now - self._since) / self._step_s * self._machine.tokens_per_step
            self._made += tokens
            self._tell(self._step_s, round(tokens * len(self._running)))
        self._since = now

    def _tell(self, step_s: float, tokens: int) -> None:
        if self.gaps is not None and tokens > 0:
            self.gaps.gap(step_s / self._machine.tokens_per_step * tokens, tokens)

    def _plan(self) -> None:
        """Set the timer for what comes next."""
        if self._mixed:
            return
        self._advance()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        may = self._admits()
        if not self._running:
            self._step_s = 0.0
            if may:
                self._prefill_step()
            return
        pace = self._pace()
        if may:
            # The step under way ends first; where it stands follows from what was made.
            steps = self._made / self._machine.tokens_per_step
            wait_s = (1.0 - steps % 1.0) * pace if self._step_s else 0.0
            self._step_s = pace
            self._timer = self._loop.call_later(wait_s, self._stepped, self._prefill_step)
            return
        self._step_s = pace
        rate = self._machine.tokens_per_step / pace
        room = max(0.0, self._machine.kv_tokens - self.held)
        due_s = min(
            _LOOK_S, (self._next() - self._made) / rate, room / rate / len(self._running) + _NEAR
        )
        self._timer = self._loop.call_later(max(0.0, due_s), self._stepped, self._plan)

    def _next(self) -> float:
        while self._ends[0][2] not in self._running or self._ends[0][2].ends != self._ends[0][0]:
            heapq.heappop(self._ends)
        return self._ends[0][0]

    def _stepped(self, then: Callable[[], None]) -> None:
        """Some decoding is over: end what is whole, make room where there is none, and go on."""
        self._timer = None
        self._advance()
        self._settle()
        then()

    def _settle(self) -> None:
        whole = []
        while self._running and self._next() <= self._made + _NEAR:
            job = heapq.heappop(self._ends)[2]
            self._remember(job)
            self._drop(job)
            whole.append(job)
        while len(self._running) > 1 and self.held > self._machine.kv_tokens:
            self._preempt()
        for job in whole:
            job.left = 0
            job.listener.ended(job.answer, lost=False)

    # Prompts

    def _admits(self) -> bool:
        if not self._waiting or len(self._running) >= self._machine.sequences:
            return False
        return not self._running or self.held + self._waiting[0].context <= self._machine.kv_tokens

    def _prefill_step(self) -> None:
        """Begin a step that computes prompts, each in chunks where the step has no room."""
        self._advance()
        budget = self._machine.batched_tokens - len(self._running)
        parts: list[tuple[Job, int]] = []
        planned = 0
        while budget > 0 and len(self._running) + len(parts) < self._machine.sequences:
            if not self._waiting or not (self._admits() or parts):
                break
            job = self._waiting[0]
            if not job.began and job.fresh == job.context:
                job.cached = min(self._known.get(job.conversation, 0), job.context - 1)
                job.fresh -= job.cached
            tokens = min(job.fresh, budget)
            planned += job.context
            if parts and self.held + planned > self._machine.kv_tokens:
                break
            budget -= tokens
            parts.append((self._waiting.popleft(), tokens))
        if not parts:
            self._plan()
            return
        running = len(self._running)
        context = self._base / running + self._made if running else 0.0
        prefill = sum(tokens for _, tokens in parts)
        self._mixed, self._prefill = True, parts
        self._step_s = self.slow * self._machine.step_s(running, context, prefill)
        self._timer = self._loop.call_later(self._step_s, self._prefilled)

    def _prefilled(self) -> None:
        """The step with prompts in it is over."""
        self._timer = None
        parts, self._prefill, self._mixed = self._prefill, [], False
        if self._running:
            made = self._machine.tokens_per_step
            self._made += made
            self._tell(self._step_s, round(made * len(self._running)))
        self._since, self._step_s = self._loop.time(), 0.0
        begun = []
        for job, tokens in reversed(parts):
            job.fresh -= tokens
            if job.fresh:
                self._waiting.appendleft(job)
            else:
                self._decode(job)
                begun.append(job)
        self._settle()
        for job in reversed(begun):
            if not job.began:
                job.began = True
                job.listener.first()
            elif self.gaps is not None:
                self.gaps.gap(self._loop.time() - job.stopped, 1)
        self._plan()

    def _decode(self, job: Job) -> None:
        self._running[job] = None
        # The step that ends a prompt yields the first token.
        job.left = max(0, job.left - 1)
        job.ends = self._made + job.left
        job.base = job.context - self._made
        self._base += job.base
        heapq.heappush(self._ends, (job.ends, next(self._numbers), job))

    def _drop(self, job: Job) -> None:
        del self._running[job]
        self._base -= job.base

    def _preempt(self) -> None:
        """The youngest gives its place in the KV cache up and starts over."""
        job, _ = self._running.popitem()
        self._base -= job.base
        self.preemptions += 1
        job.left = max(1, round(job.ends - self._made))
        job.context = job.fresh = max(1, round(job.base + self._made))
        job.stopped = self._loop.time()
        self._waiting.appendleft(job)

    def _remember(self, job: Job) -> None:
        """Its blocks stay until others need the room."""
        tokens = round(job.base + self._made)
        self._known_tokens += tokens - self._known.pop(job.conversation, 0)
        self._known[job.conversation] = tokens
        room = self._machine.kv_tokens - self.held
        while self._known and self._known_tokens > room:
            self._known_tokens -= self._known.popitem(last=False)[1]

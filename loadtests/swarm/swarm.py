"""One process of a swarm: its options, the calls that it saw, and the report of all of them."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from locust.runners import MasterRunner, WorkerRunner

from loadtests.bench.report import About, Report
from loadtests.bench.ruler import RULERS, USUAL, words_per_token
from loadtests.bench.slo import NOTHING_FAILS
from loadtests.client.sockets import SocketClient
from loadtests.swarm.events import record
from loadtests.swarm.kept import call_of, plain
from loadtests.swarm.options import Options
from loadtests.users.kinds import TRACE

if TYPE_CHECKING:
    from locust.env import Environment

    from loadtests.client.call import Call

_log = logging.getLogger(__name__)
_KEPT = "r1_calls"
_NAME = "r1_swarm"
_DRAIN_S = 60.0


class Swarm:
    """Lives as long as its process; `of(environment)` finds it."""

    def __init__(self, environment: Environment) -> None:
        """Raises ValueError or OSError: an option is wrong."""
        self.environment = environment
        self.options = Options.of(vars(environment)["parsed_options"])
        self.words = USUAL
        self.calls: list[Call] = []
        self._unsent: list[dict[str, Any]] = []
        self._offset = time.time() - time.perf_counter()
        # Locust hands its environment to everybody, and nothing else.
        vars(environment)[_NAME] = self
        hooks: Any = environment.events
        hooks.test_start.add_listener(self._begin)
        hooks.report_to_master.add_listener(self._send)
        hooks.worker_report.add_listener(self._take)
        hooks.quitting.add_listener(self._end)
        self._choose_users()
        # Locust's own default cuts every call that runs at the end.
        environment.stop_timeout = environment.stop_timeout or _DRAIN_S

    @staticmethod
    def of(environment: Environment) -> Swarm:
        """The one of this process."""
        swarm: Swarm = vars(environment)[_NAME]
        return swarm

    @property
    def index(self) -> int:
        """Which of the workers this is."""
        runner = self.environment.runner
        return runner.worker_index if isinstance(runner, WorkerRunner) else 0

    def client(self) -> SocketClient:
        """A user's own."""
        return SocketClient(self.options.target, self.options.timeout_s)

    def seen(self, call: Call) -> None:
        """Count a call that is over."""
        if isinstance(self.environment.runner, WorkerRunner):
            self._unsent.append(plain(call, self._offset))
        else:
            self.calls.append(call)
        record(self.environment, call)

    def _choose_users(self) -> None:
        """Those that the options ask for; a trace has users of its own."""
        options = self.options
        weights = dict(options.mix.weights)
        chosen = []
        people: list[Any] = self.environment.user_classes
        for each in people:
            if options.trace and each.kind == TRACE:
                each.fixed_count = options.workers
                chosen.append(each)
            elif not options.trace and each.kind in weights:
                each.weight = weights[each.kind]
                chosen.append(each)
        people[:] = chosen

    def _begin(self, environment: Environment, **_: Any) -> None:
        """Learn how long words are."""
        self.calls.clear()
        if isinstance(environment.runner, MasterRunner):
            return
        client = self.client()
        tokens = []
        for ask in RULERS:
            call = client.ask("ruler", ask)
            if not call.completed:
                _log.error("the server gives no answer: %s: %s", call.ending, call.message)
                break
            tokens.append(call.said.prompt_tokens)
        client.close()
        if len(tokens) == len(RULERS):
            self.words = words_per_token(tokens)

    def _send(self, data: dict[str, Any], **_: Any) -> None:
        data[_KEPT], self._unsent = self._unsent, []

    def _take(self, data: dict[str, Any], **_: Any) -> None:
        self.calls += map(call_of, data.pop(_KEPT, ()))

    def _end(self, environment: Environment, **_: Any) -> None:
        """Report what all workers saw; the gates make the exit status."""
        options = self.options
        if isinstance(environment.runner, WorkerRunner):
            return
        target = options.target
        date = datetime.now(UTC).isoformat(timespec="seconds")
        about = About(target.url, target.model, date, self._load(), seed=options.seed)
        report = Report.of(about, self.calls, options.slo or NOTHING_FAILS)
        print(report.text())
        if options.out is not None:
            report.write(options.out)
        if options.slo is not None:
            environment.process_exit_code = 0 if report.judgement.kept else 1

    def _load(self) -> str:
        options = self.options
        if options.trace:
            return f"a trace of {len(options.trace)} calls"
        users = options.shape.text if options.shape else "as many as asked for"
        open_text = f", each with {options.rate:g} callers/s" if options.rate else ""
        return f"Locust, {users} users{open_text}"

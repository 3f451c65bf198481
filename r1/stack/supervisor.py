"""The supervisor: one process that starts a stack's parts, restarts what dies, ends everything.

It is the reaper of all its descendants, so whatever a dying part orphans (engine cores, workers,
HAProxy) becomes its child and is ended before that part starts again. Its guard does the same
for the supervisor itself.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from r1.stack.first_key import NoFirstKey
from r1.stack.journal import Journal
from r1.stack.part import Part, PartFailed, PartSpec
from r1.stack.parts import GATEWAY, MODELS, STORE
from r1.stack.plan import StackPlan
from r1.stack.processes import descendants, end_all, reap_adopted, remove, shared_files
from r1.stack.redis_server import NoStore
from r1.stack.restarts import RestartPolicy
from serving.local.explain import root_cause, says_look_above

STOP_GRACE_S = 5.0
REMINDER_S = 15.0
HOUSEKEEPING_S = 1.0
SHARED_FILES_S = 10.0


class GaveUp(RuntimeError):
    """The stack can't be had: a part failed to start for a reason that a restart won't mend."""


class Supervisor:
    """Starts, watches and ends the parts of one stack."""

    def __init__(
        self,
        plan: StackPlan,
        journal: Journal,
        specs: Callable[[asyncio.Event], dict[str, PartSpec]],
        make_key: Callable[[], bool],
    ) -> None:
        """Prepare to supervise.

        Args:
            plan: what was asked for.
            journal: where states and lines go.
            specs: makes the parts' specifications; its argument is set when all models are ready.
            make_key: makes the first key once the store runs, and tells whether it had to.
        """
        self._plan = plan
        self._journal = journal
        self._specs = specs
        self._make_key = make_key
        self._parts: dict[str, Part] = {}
        # A part that is being started isn't in the list yet: looking for orphans must wait.
        self._changing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._models_ready = asyncio.Event()
        self._model_failure = ""
        self._log_read = 0  # bytes of the model plane's log
        self._was_ready: set[str] = set()
        self._opened: set[Path] = set()  # in /dev/shm, by processes that may be killed

    def stop(self) -> None:
        """Ask the stack to end; asked again, it doesn't wait for running answers."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def run(self) -> int:
        """Run the stack until asked to end; return the exit status."""
        house = asyncio.create_task(self._keep_house())
        keepers: list[asyncio.Task[None]] = []
        failure = ""
        try:
            specs = self._specs(self._models_ready)
            await self._start_store(specs[STORE])
            keepers = [
                asyncio.create_task(self._keep(specs[name]), name=name)
                for name in (STORE, MODELS, GATEWAY)
            ]
            stopping = asyncio.create_task(self._stopping.wait())
            await asyncio.wait([*keepers, stopping], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            # A keeper only returns while the stack runs if its part can't be had.
            for keeper in keepers:
                if keeper.done():
                    keeper.result()
        except (GaveUp, NoStore, NoFirstKey, OSError) as error:
            failure = str(error)
            self._journal.say(f"giving up: {failure}")
        finally:
            await self._end(keepers, failure)
            house.cancel()
        self._journal.stack("failed" if failure else "stopped", failure)
        return 1 if failure else 0

    async def _start_store(self, spec: PartSpec) -> None:
        """Start the store and make the first key: the gateway needs both."""
        part = await self._start(spec)
        try:
            await part.wait_ready()
        except PartFailed as error:
            raise GaveUp(f"{error} (log: {spec.log})") from error
        self._journal.part(STORE, "ready", pid=part.pid)
        created = await asyncio.to_thread(self._make_key)
        self._journal.status.key_created = created
        self._journal.save()

    async def _start(self, spec: PartSpec) -> Part:
        async with self._changing:
            part = await Part.start(spec, self._on_event if spec.reports_events else None)
            self._parts[spec.name] = part
        self._journal.part(spec.name, "starting", pid=part.pid)
        return part

    async def _keep(self, spec: PartSpec) -> None:
        """Keep one part running: start it if need be, watch it, start it again when it dies.

        Raises:
            GaveUp: it failed too often in a row, or at its very first start.
        """
        policy = RestartPolicy()
        part = self._parts.get(spec.name)
        while True:
            if part is None:
                part = await self._start(spec)
            ran, reason = await self._run_once(part)
            if self._stopping.is_set():
                return
            await self._end_orphans(spec.name)
            if spec.name not in self._was_ready:
                raise GaveUp(f"{reason} (log: {spec.log})")
            decision = policy.died(ran)
            if decision.give_up:
                raise GaveUp(f"{reason}, {decision.attempt} times in a row (log: {spec.log})")
            self._journal.part(
                spec.name, "restarting", f"{reason}; starting it again in {decision.delay_s:g} s"
            )
            if spec.name == MODELS:
                for each in self._model_parts():
                    self._journal.part(each, "restarting", "waits for the model plane")
            self._journal.stack("degraded", f"{spec.name} is being restarted: {reason}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), decision.delay_s)
                return
            part = None

    async def _run_once(self, part: Part) -> tuple[float, str]:
        """Follow a started part to its end; return the seconds it was ready, and why it ended."""
        ran = 0.0
        try:
            await part.wait_ready()
        except PartFailed as error:
            reason = str(error)
            await part.stop(STOP_GRACE_S)
        else:
            ready_at = time.monotonic()
            self._was_ready.add(part.spec.name)
            self._journal.part(part.spec.name, "ready", pid=part.pid)
            self._tell_if_all_ready()
            await part.wait()
            ran, reason = time.monotonic() - ready_at, part.ending()
        if part.spec.name == MODELS and self._model_failure:
            reason, self._model_failure = self._model_failure, ""
        return ran, reason

    def _on_event(self, event: dict[str, Any]) -> None:
        """Take an event of the model plane: of Ray, or of a model."""
        what, state, message = event["what"], event["state"], event["message"]
        if state == "replicas":
            self._journal.replicas(what, message)
            return
        if says_look_above(message):
            message = root_cause(self._new_in_log()) or message
        self._journal.part(what, state, message)
        if what != "ray" and state == "failed" and what not in self._was_ready:
            self._model_failure = f"{what} can't be served: {message}"
            with contextlib.suppress(ProcessLookupError):
                self._parts[MODELS].process.terminate()
        elif what == "ray" and state == "failed":
            self._model_failure = message
        elif state == "ready":
            self._was_ready.add(what)
        names = [model.id for model in self._plan.models]
        states = [self._journal.status.parts[name].state for name in names]
        if all(each == "ready" for each in states):
            self._model_failure = ""
            self._models_ready.set()
            self._tell_if_all_ready()
        else:
            self._models_ready.clear()
            if self._journal.status.state == "ready":
                self._journal.stack("degraded", f"{what}: {message or state}")

    def _new_in_log(self) -> str:
        """Return what the model plane logged since the last look: older failures are told."""
        with self._parts[MODELS].spec.log.open("rb") as log:
            log.seek(self._log_read)
            new = log.read()
        self._log_read += len(new)
        return new.decode(errors="replace")

    def _tell_if_all_ready(self) -> None:
        if not self._stopping.is_set() and not self._journal.status.not_ready():
            self._journal.stack("ready")

    async def _end_orphans(self, name: str) -> None:
        """End what a dead part left: every process below this one that no other part started."""
        self._parts.pop(name, None)
        if name == MODELS:
            self._models_ready.clear()

        def left() -> list[int]:
            kept = {part.pid for part in self._parts.values()}
            for pid in list(kept):
                kept.update(descendants(pid))
            return [pid for pid in descendants(os.getpid()) if pid not in kept]

        async with self._changing:
            stubborn = await asyncio.to_thread(end_all, left, STOP_GRACE_S)
        if stubborn:
            self._journal.say(f"processes {stubborn} of {name} can't be ended")

    async def _keep_house(self) -> None:
        """Take away adopted zombies, and say now and then what is being waited for."""
        reminded = looked = time.monotonic()
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            reap_adopted(part.pid for part in self._parts.values())
            now = time.monotonic()
            if now - looked > SHARED_FILES_S:
                looked = now
                await asyncio.to_thread(self._note_shared_files)
            if self._journal.status.state == "starting" and now - reminded > REMINDER_S:
                reminded = now
                waiting = ", ".join(
                    name for name in self._journal.status.not_ready() if name != MODELS
                )
                self._journal.say(f"still waiting for {waiting}")

    def _note_shared_files(self) -> None:
        self._opened |= shared_files(descendants(os.getpid()))

    async def _end(self, keepers: list[asyncio.Task[None]], failure: str) -> None:
        """End everything: the gateway drains first, then the model plane, then the store."""
        self._stopping.set()
        self._journal.stack("stopping", failure)
        await asyncio.to_thread(self._note_shared_files)
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        graces = ((GATEWAY, self._plan.drain_s + STOP_GRACE_S), (MODELS, 2.0), (STORE, 10.0))
        for name, grace in graces:
            part = self._parts.get(name)
            if part is None:
                continue
            self._journal.say(f"ending {name}" + (": running answers finish" * (name == GATEWAY)))
            stopping = asyncio.create_task(part.stop(0.5 if self._hurry.is_set() else grace))
            hurry = asyncio.create_task(self._hurry.wait())
            await asyncio.wait([stopping, hurry], return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                part.process.kill()
            await stopping
            hurry.cancel()
            await self._end_orphans(name)
            for each in (name, *(self._model_parts() if name == MODELS else ())):
                self._journal.part(each, "stopped")
        await self._end_orphans("")
        remove(self._opened)
        self._journal.say("everything has ended")

    def _model_parts(self) -> list[str]:
        return ["ray", *(model.id for model in self._plan.models)]

"""Judges answers while and after they are made: those that mix languages, those that loop."""

from __future__ import annotations

from dataclasses import replace

from gateway.call import Call
from gateway.errors import LanguageMixed, Repeated
from gateway.protocol.advice import prompt_text
from gateway.protocol.heard import Heard
from gateway.protocol.language import is_mixed
from gateway.protocol.repetition import REPETITION, shaken
from gateway.protocol.text_stream import choices_of
from gateway.telemetry.metrics import Metrics
from gateway.upstream.budget import RetryBudget


class Judge:
    """Reads along where the model's settings say so; has one more answer asked for at most.

    That is only possible while nothing was delivered, so for most streams it is too late. The
    second answer may be no better, and it draws on the retry budget as any retry does.
    """

    def __init__(self, budget: RetryBudget, metrics: Metrics) -> None:
        self._budget = budget
        self._metrics = metrics

    def listen(self, call: Call) -> None:
        """Have the answer that begins now read along with."""
        settings, asked = call.model.settings, call.asked
        keeps = call.api == "chat" and settings.advice.language_guard != "off"
        # Of several choices none can be ended alone, and an echoed prompt may hold anything.
        alone = choices_of(asked) == 1 and not asked.body.get("echo")
        loop = settings.repetition.loop if alone and call.api != "count_tokens" else None
        asked.heard = Heard(keeps=keeps, loop=loop) if keeps or loop is not None else None

    async def finished(self, call: Call) -> None:
        """Judge a whole answer. Raises LanguageMixed or Repeated: it is asked for once more."""
        heard = call.asked.heard
        if heard is None:
            return
        if heard.loops:
            await self.loops(call, "told")
            return
        advice, model = call.model.settings.advice, call.model.id
        if not is_mixed(prompt_text(call.asked.body), heard.text, advice.language_share):
            return
        if advice.language_guard == "retry" and await self._once_more(call):
            self._metrics.language_mixed(model, "retried")
            raise LanguageMixed("The model's answer mixes languages.")
        self._metrics.language_mixed(model, "counted")

    async def loops(self, call: Call, action: str) -> None:
        """The answer repeats itself: Repeated is raised, or `action` is what becomes of it."""
        model = call.model
        if model.settings.repetition.action == "retry" and await self._once_more(call):
            self._metrics.repeated(model.id, "retried")
            temperature = model.settings.defaults.temperature
            call.asked = replace(call.asked, body=shaken(call.asked.body, temperature))
            raise Repeated("The model's answer repeats itself.")
        self._metrics.repeated(model.id, action)
        call.stopped = REPETITION
        call.notes.append((b"x-r1-ending", REPETITION.encode()))

    async def _once_more(self, call: Call) -> bool:
        if call.delivered or call.asked_again:
            return False
        call.asked_again = True
        return await self._budget.take(call.model.id)

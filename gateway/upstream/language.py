"""The guard against answers that mix languages: counts them, and has one asked for again."""

from __future__ import annotations

from gateway.call import Call
from gateway.errors import LanguageMixed
from gateway.protocol.advice import prompt_text
from gateway.protocol.language import is_mixed
from gateway.telemetry.metrics import Metrics
from gateway.upstream.budget import RetryBudget


class LanguageGuard:
    """Looks at finished answers of chat completions, where the model's advice says so."""

    def __init__(self, budget: RetryBudget, metrics: Metrics) -> None:
        self._budget = budget
        self._metrics = metrics

    def listen(self, call: Call) -> None:
        """Have the texts of the answer that begins now kept for `judge`."""
        if call.api == "chat" and call.model.settings.advice.language_guard != "off":
            call.asked.heard = []

    async def judge(self, call: Call) -> None:
        """Count a mixed answer. Raises LanguageMixed if it should be asked for once more.

        That is only possible while nothing of it was delivered: for streams it is too late.
        """
        if call.asked.heard is None:
            return
        advice, model = call.model.settings.advice, call.model.id
        answer = "".join(call.asked.heard)
        if not is_mixed(prompt_text(call.asked.body), answer, advice.language_share):
            return
        if advice.language_guard == "retry" and not call.delivered and not call.asked_again:
            # The second answer may be no better, so there is one, and it counts as any retry.
            call.asked_again = True
            if await self._budget.take(model):
                self._metrics.language_mixed(model, "retried")
                raise LanguageMixed("The model's answer mixes languages.")
        self._metrics.language_mixed(model, "counted")

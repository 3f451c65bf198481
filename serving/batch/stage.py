"""The stage of Ray Data's vLLM processor that answers requests as vLLM's own server would.

Ray's stages take messages and sampling parameters, apply the chat template and return text: no
reasoning parser, no tools, no sampling defaults of the model's, and a second begin-of-sentence
token where template and tokenizer both write one. So its engine is kept (placement, start, restart
of a dead one), and the requests go through vLLM's own HTTP application in the same process, without
a socket.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import time
import types
from collections.abc import AsyncIterator
from typing import Any

from ray.llm._internal.batch.stages.vllm_engine_stage import vLLMEngineStageUDF

from serving.batch.answer import as_object, question, told
from serving.engine.warmup import ASGIApp, call, warm_up, warm_up_steps

THINK_END = "</think>"
WARM_UP_TIMEOUT_S = 900.0


def split(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of the engine, and those of the application in front of it."""
    from vllm.entrypoints.launchers.cli_args import FrontendArgs

    known = {field.name for field in dataclasses.fields(FrontendArgs)}
    engine = {name: value for name, value in given.items() if name not in known}
    return engine, {name: value for name, value in given.items() if name in known}


def arguments(source: str, given: dict[str, Any]) -> argparse.Namespace:
    """All of them, as vLLM's server has them when it has read its command line."""
    from vllm import AsyncEngineArgs
    from vllm.entrypoints.launchers.cli_args import FrontendArgs

    engine, frontend = split(given)
    # Ray's own, which is no argument of vLLM's.
    engine.pop("task_type", None)
    every = vars(FrontendArgs(**frontend)) | vars(AsyncEngineArgs(source, **engine))
    return argparse.Namespace(**every)


class OpenAIStage(vLLMEngineStageUDF):  # type: ignore[misc]
    """Rows {id, url, body} in; the same rows with status, answer and ready out.

    `body` and `answer` are JSON; `ready` is when the engine was ready, in Unix seconds.
    """

    def __init__(
        self, data_column: str, expected_input_keys: list[str], served: str, **options: Any
    ) -> None:
        """Start the engine; `served` is the model's id, `options` are those of Ray's own stage."""
        self._given = options.pop("engine_kwargs") | {"served_model_name": [served]}
        engine, _ = split(self._given)
        super().__init__(data_column, ["id", "url", "body"], engine_kwargs=engine, **options)
        self._served = served
        self._think_end: int | None = None
        self._app: ASGIApp | None = None
        self._building = asyncio.Lock()
        self._ready = 0.0

    async def udf(self, batch: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
        """Answer the rows of a piece together."""
        app = await self._application()
        for answer in asyncio.as_completed([self._answer(app, row) for row in batch]):
            yield await answer

    async def _answer(self, app: ASGIApp, row: dict[str, Any]) -> dict[str, Any]:
        url, body = row["url"], json.loads(row["body"])
        asked = json.dumps(question(body, self._served)).encode()
        status, text = await call(app, url, asked, os.environ.get("VLLM_API_KEY"))
        if self.llm.engine.errored:
            # As Ray's own stage does: only a dead actor is replaced, and its rows asked again.
            os._exit(1)
        answer = as_object(status, text)
        if status == 200 and "error" in answer:
            status = 500
        if status == 200:
            wanted = bool(body.get("return_token_ids"))
            told(answer, url=url, ids_wanted=wanted, think_end=self._think_end)
        return {
            self.IDX_IN_BATCH_COLUMN: row[self.IDX_IN_BATCH_COLUMN],
            "body": "",
            "status": status,
            "answer": json.dumps(answer),
            "ready": self._ready,
        }

    async def _application(self) -> ASGIApp:
        """VLLM's application over this actor's engine, built and warmed up at its first row."""
        async with self._building:
            if self._app is None:
                app = await self._build()
                # The first requests compile kernels; what they take is no measure for the others.
                await warm_up(
                    app,
                    model=self._served,
                    steps=warm_up_steps(1),
                    api_key=os.environ.get("VLLM_API_KEY"),
                    timeout_s=WARM_UP_TIMEOUT_S,
                )
                self._app, self._ready = app, time.time()
            return self._app

    async def _build(self) -> ASGIApp:
        from vllm.entrypoints.launchers.api_server.app_state import init_app_state
        from vllm.entrypoints.launchers.app import build_app

        engine = self.llm.engine
        parsed = arguments(self.model, self._given)
        # What the engine made of reasoning_parser when it read its arguments.
        parsed.structured_outputs_config = engine.vllm_config.structured_outputs_config
        tasks = await engine.get_supported_tasks()
        app = build_app(parsed, supported_tasks=tasks, model_config=engine.model_config)
        await init_app_state(engine, app.state, parsed, tasks)
        # Its handler of engine errors tells the server to end; here is none.
        app.state.server = types.SimpleNamespace()
        tokenizer = engine.get_tokenizer()
        ids = tokenizer.encode(THINK_END, add_special_tokens=False)
        self._think_end = ids[0] if len(ids) == 1 else None
        return app  # type: ignore[no-any-return]

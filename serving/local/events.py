"""Events that the local plane reports to its supervisor: one JSON object a line."""

import json
from dataclasses import asdict, dataclass
from typing import Literal, TextIO

State = Literal["starting", "ready", "failed", "restarting", "replicas"]


@dataclass(frozen=True)
class Event:
    """What happened to `what` ("ray" or a model's id), with a sentence where there is one.

    With `replicas` nothing happened to the model: the sentence tells what its replicas do.
    """

    what: str
    state: State
    message: str = ""


class EventWriter:
    """Writes events to a stream that the supervisor reads."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, event: Event) -> None:
        """Write one event.

        Raises:
            BrokenPipeError: the supervisor is gone.
        """
        self._stream.write(json.dumps(asdict(event)) + "\n")
        self._stream.flush()

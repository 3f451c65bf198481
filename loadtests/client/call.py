"""One call: what came, when, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field

# How a call ended; an answer with another status than 200 ends as "http STATUS".
DONE = "done"
CUT = "cut"  # the answer's end came before its own mark of it ([DONE], or its length)
ERROR = "error event"
REFUSED = "no connection"
LOST = "connection lost"
LATE = "time limit"
BROKEN = "unreadable"
LEFT = "left"  # the user hung up, as this user does
UNFINISHED = "unfinished"  # the load was over


@dataclass
class Said:
    """The parts of an answer; counts are of tokens, 0 where the server didn't tell."""

    reasoning: str = ""
    content: str = ""
    tools: dict[int, str] = field(default_factory=dict)
    """Arguments of tool calls by their index."""
    tool: str = ""
    finish: str | None = None
    scores: int = 0
    """Tokens that came with log-probabilities."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass
class Call:
    """A question's fate. Times in seconds on one clock; `due` is when it should have been asked.

    An open load's latencies count from `due`: a server that stalls so that nobody can be asked, or
    a client that is late, would otherwise go unseen (coordinated omission).
    """

    kind: str
    due: float
    began: float
    ended: float = 0.0
    first: float | None = None
    """When the first token came."""
    gaps: list[float] = field(default_factory=list)
    """Between the events that carried text."""
    ending: str = CUT
    status: int = 0
    message: str = ""
    cache: str = ""
    """The header x-r1-cache."""
    retry_after: bool = False
    """Whether a refusal said when to come again."""
    expected: bool = False
    """Whether the user meant it to end so, though it is no whole answer."""
    right: bool | None = None
    """None: not judged."""
    said: Said = field(default_factory=Said)

    @property
    def completed(self) -> bool:
        """A whole answer."""
        return self.ending == DONE

    @property
    def failed(self) -> bool:
        """Neither a whole answer nor what the user provoked."""
        return not self.completed and not self.expected

    @property
    def ttft(self) -> float:
        """Seconds until the user saw a token: of an answer that came in one piece, to its end."""
        return (self.ended if self.first is None else self.first) - self.due

    @property
    def e2el(self) -> float:
        """Seconds to the end."""
        return self.ended - self.due

    @property
    def tpot(self) -> float | None:
        """Seconds a token after the first one, as vLLM's benchmark has it.

        None of less than two tokens, or of an answer that came in one piece.
        """
        count = 0 if self.first is None else self.said.completion_tokens
        return (self.e2el - self.ttft) / (count - 1) if count > 1 else None

    @property
    def late(self) -> float:
        """Seconds by which the client itself was late."""
        return self.began - self.due

    def fault(self) -> str | None:
        """What is wrong with it in few words, for counting; None: nothing."""
        if self.failed:
            return self.ending
        return "wrong answer" if self.right is False else None

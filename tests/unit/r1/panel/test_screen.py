"""A frame as a person sees it."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from r1.panel import colours
from r1.panel.figures import Frame, Gpu, ModelFigures
from r1.panel.screen import number, screen, seconds

BUSY = ModelFigures(
    id="deepseek-r1-distill-llama-70b",
    up=11,
    replicas=12,
    ejected=1,
    running=1290,
    waiting=345,
    requests=9999.0,
    failures=0.0,
    tokens=123456.0,
    ttft=0.9994,
    ttft_p95=99.4,
    short_ttft_p95=1.2,
    itl=0.0354,
    itl_p95=0.25,
    cache_hits=1.0,
    prefix_hits=1.0,
    kv_used=0.99,
)
FRAME = Frame(
    [BUSY],
    {"10.0.0.1:8082": 0.9, "10.0.0.2:8082": 0.1},
    [Gpu("10.0.0.1:8082 7", 0.99, 0.92), Gpu("0", None, None)],
    store_degraded=True,
)


def drawn(frame: Frame, *, colour: bool = False, width: int = 80) -> str:
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
    )
    console.print(screen(frame, "r1 top  stack 8080  every 2 s"))
    return out.getvalue()


def test_eighty_columns_hold_all_of_it() -> None:
    text = drawn(FRAME)
    assert max(map(len, text.splitlines())) <= 80
    for word in ("11/12", "-1", "1290", "345", "9999", "99.4s", "35ms", "250ms", "123k", "100 100"):
        assert word in text, word
    assert "deepseek-r1-di" in text
    assert "memory 10.0.0.1:8082" in text
    assert "the store is degraded" in text
    assert "no model yet" in drawn(Frame())


def test_colours_say_what_is_wrong() -> None:
    red = "\x1b[31m"
    text = drawn(FRAME, colour=True)
    assert re.search(r"\x1b\[31m *999ms 99\.4s", text)
    lines = text.splitlines()
    assert red in next(line for line in lines if "GPU 10.0.0.1:8082 7 busy" in line)
    assert red not in next(line for line in lines if "GPU 10.0.0.1:8082 7 mem" in line)


def test_a_pipe_gets_no_colours() -> None:
    assert "\x1b" not in drawn(FRAME)


@pytest.mark.parametrize(
    ("share", "working", "strained", "colour"),
    [
        (0.97, True, False, "green"),
        (0.97, True, True, "red"),
        (0.75, True, True, "green"),
        (0.2, True, False, "red"),
        (0.2, False, False, "default"),
        (0.5, True, False, "yellow"),
    ],
)
def test_a_gpu_that_decodes_in_health_is_no_alarm(
    share: float, working: bool, strained: bool, colour: str
) -> None:
    assert colours.of_gpu(share, working=working, strained=strained) == colour


def test_thresholds() -> None:
    assert [colours.of_memory(each) for each in (0.74, 0.8, 0.86)] == ["green", "yellow", "red"]
    assert [colours.of_ttft(each) for each in (None, 0.4, 0.7, 1.1)] == [
        "default",
        "green",
        "yellow",
        "red",
    ]
    assert colours.of_itl(0.25) == "red"


def test_figures_keep_short() -> None:
    assert [seconds(each) for each in (None, 0.0042, 0.0354, 0.25, 0.9996, 12.34, 600.0)] == [
        "-",
        "4.2ms",
        "35ms",
        "250ms",
        "1.0s",
        "12.3s",
        "10min",
    ]
    assert [number(each) for each in (0.04, 9.94, 9.96, 1234.4, 12345.0)] == [
        "0.0",
        "9.9",
        "10",
        "1234",
        "12k",
    ]

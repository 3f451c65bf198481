"""What a comparison's rounds come to, and how it is told."""

import json

import pytest

from loadtests.compare.engines import BARE, INGRESS, R1, bars, figures, of_round
from loadtests.compare.report import Section
from loadtests.compare.samples import Figure, Samples, Summary, order, standing
from loadtests.compare.servers import SERVERS
from loadtests.gateways import peers
from loadtests.streams import Round, Stream
from r1 import cli

CALLS = Figure("calls", "calls/s", "more")
P50 = Figure("p50", "p50 ms", "less", 1)


def section(**rounds: list[tuple[float, float]]) -> Section:
    samples = Samples()
    for server, pairs in rounds.items():
        for calls, p50 in pairs:
            samples.note(server, {"calls": calls, "p50": p50})
    return Section("short", "Short calls", (CALLS, P50), list(rounds), samples)


def test_a_table_has_medians_and_ranges() -> None:
    told = section(r1=[(900, 1.0), (1000, 1.2), (1100, 1.1)], other=[(50, 30), (50, 30), (50, 30)])
    assert told.markdown().splitlines()[:6] == [
        "### Short calls",
        "",
        "| server | calls/s | p50 ms |",
        "|---|---|---|",
        "| r1 | 1,000 (900–1,100) | 1.1 (1.0–1.2) |",
        "| other | 50 | 30.0 |",
    ]


def test_it_is_said_who_is_ahead_and_who_is_behind() -> None:
    told = section(
        direct=[(9000, 0.1)], r1=[(100, 2), (120, 3)], slow=[(10, 40)], fast=[(500, 2.5)]
    ).markdown()
    assert "- r1, calls/s: ahead of slow (11.00 ×), behind fast (0.22 ×)" in told
    assert "- r1, p50 ms: ahead of slow (0.06 ×), level with fast (1.00 ×)" in told
    assert "direct (" not in told


def test_who_was_not_measured_is_told_with_the_reason() -> None:
    told = section(r1=[(1, 1)])
    told.samples.reasons["other"] = "it has no cache of answers"
    assert "- other: it has no cache of answers" in told.markdown()


def test_a_figure_that_a_server_lacks_is_no_zero() -> None:
    samples = Samples()
    samples.note("direct", {"calls": 5})
    told = Section("short", "Short calls", (CALLS, P50), ["direct"], samples)
    assert "| direct | 5 | – |" in told.markdown()


def test_all_rounds_are_kept_as_data() -> None:
    data = json.loads(json.dumps(section(r1=[(1, 2), (3, 4)]).data()))
    assert data["rounds"]["r1"] == [{"calls": 1, "p50": 2}, {"calls": 3, "p50": 4}]


def test_a_round_goes_forwards_and_the_next_one_backwards() -> None:
    assert [order("abc", number) for number in range(4)] == [
        ["a", "b", "c"],
        ["c", "b", "a"],
        ["b", "c", "a"],
        ["a", "c", "b"],
    ]


def test_no_values_are_no_summary() -> None:
    with pytest.raises(ValueError, match="no round"):
        Summary.of([])
    assert Samples().summary("r1", CALLS) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "calls", "p50"),
    [
        ((10, 12), (5, 9), "ahead", "behind"),
        ((5, 9), (10, 12), "behind", "ahead"),
        ((5, 10), (10, 12), "level", "level"),
    ],
)
def test_overlapping_ranges_are_level(
    ours: tuple[float, float], theirs: tuple[float, float], calls: str, p50: str
) -> None:
    first, second = Summary.of(ours), Summary.of(theirs)
    assert standing(first, second, CALLS) == calls
    assert standing(first, second, P50) == p50


def test_what_a_server_lacks_is_a_sentence() -> None:
    lacking = {
        each.name: (each.lacking(door=True, cache=False), each.lacking(door=True, cache=True))
        for each in SERVERS
    }
    assert lacking["r1"] == lacking["litellm"] == (None, None)
    assert "no keys" in str(lacking["vllm-router"][0])
    assert "no cache" in str(lacking["sglang-router"][1])


def test_each_peer_has_a_pinned_version_and_its_settings_are_told() -> None:
    others = {each.name: each for each in SERVERS if each.name in peers.VERSIONS}
    assert others.keys() == peers.VERSIONS.keys()
    assert all(each.version == peers.VERSIONS[name] for name, each in others.items())
    assert all(each.about for each in SERVERS)


def engines(bare: float, ingress: float, r1: float) -> Samples:
    """TTFT in the same order as the speeds, the fastest the soonest."""
    samples = Samples()
    for name, speed in ((BARE, bare), (INGRESS, ingress), (R1, r1)):
        stream = Stream(10 / speed, 1.0, int(speed), True)
        samples.note(name, of_round(Round(name, 16, 1.0, (stream,))))
    return samples


def test_the_engines_bars_are_reached_or_missed() -> None:
    reached = bars(engines(bare=1000, ingress=500, r1=960), (16,))
    assert [bar.reached for bar in reached] == [True, True, True]
    missed = bars(engines(bare=1000, ingress=500, r1=400), (16,))
    assert [bar.reached for bar in missed] == [False, False, False]
    assert "≥ 0.95" in missed[0].claim
    assert missed[0].measured == "0.40"


def test_an_engine_that_was_not_measured_reaches_no_bar() -> None:
    assert not any(bar.reached for bar in bars(Samples(), (1, 16)))
    assert [each.name for each in figures((1, 4))["ttft"]] == ["ttft_1", "ttft_4"]


@pytest.mark.parametrize("command", [["compare"], ["bench", "compare"]])
@pytest.mark.parametrize("words", [["--cases", "nothing"], ["--servers", "r2"]])
def test_an_unknown_name_is_told_with_those_that_are_known(
    command: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command, "gateways", *words]) == 1
    told = capsys.readouterr().err
    assert f"there is no {words[0][2:-1]} '{words[1]}'; there are: " in told

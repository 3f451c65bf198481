"""`r1 plan` on the command line."""

import json
from pathlib import Path

import pytest
import yaml

from r1.cli import main
from serving import app


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["plan", *words])
    seen = capsys.readouterr()
    return status, seen.out, seen.err


def test_one_line_gives_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(
        capsys, "deepseek-r1", "--hardware", "8xh200", "--users", "200", "--ttft-ms", "500"
    )
    assert status == 0
    for text in ("TTFT", "ITL", "KV cache", "autoscaling", "USD a million", "not chosen", "±"):
        assert text in out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(
        capsys, "r1-distill-qwen-7b", "--hardware", "1xl4", "--rps", "0.05", "--json",
        "--itl-ms", "p50=100", "--prompt-tokens", "500±0.5", "--answer-tokens", "1000",
    )  # fmt: skip
    document = json.loads(out)
    assert status == 0
    assert document["load"]["prompt"] == {"mean": 500.0, "spread": 0.5}
    assert document["targets"] == ["ITL p50 within 100 ms"]


def test_serve_config(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "deepseek-r1", "--users", "20", "--serve-config")
    assert status == 0
    (application,) = yaml.safe_load(out)["applications"]
    assert app.parse(application["args"]).model == "deepseek-r1"


def test_what_is_known_to_disappoint_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("r1-distill-qwen-1.5b", "--hardware", "1xt4", "--users", "1")
    status, out, _ = run(capsys, *words)
    assert status == 0
    assert "float16 reaches only 65,504" in out
    assert json.loads(run(capsys, *words, "--json")[1])["warnings"]


def test_a_missed_target_has_a_status_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "deepseek-r1", "--ttft-ms", "1")
    assert status == 2
    assert "is missed" in out


@pytest.mark.parametrize("as_json", [False, True])
def test_what_does_not_fit(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    words = ("deepseek-r1", "--hardware", "rtx4090", *(("--json",) if as_json else ()))
    status, out, err = run(capsys, *words)
    assert status == 1
    told = json.loads(out)["why"] if as_json else err
    assert "does not fit on rtx4090" in told
    assert "the weights take" in told


def test_the_cheapest_of_all_models(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "cheapest", "--hardware", "1xl4", "--users", "5", "--json")
    assert status == 0
    assert json.loads(out)["model"] == "deepseek-r1-distill-qwen-1.5b"


def test_the_cheapest_of_all_machines(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(
        capsys, "r1-distill-qwen-7b", "--hardware", "cheapest", "--users", "5", "--json"
    )
    assert status == 0
    assert json.loads(out)["usd_per_million_output_tokens"] > 0


def test_a_plot(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "plot.svg"
    status, _, _ = run(capsys, "r1-distill-qwen-7b", "--hardware", "1xl4", "--plot", str(path))
    assert status == 0
    assert "tokens/s a GPU" in path.read_text() or path.stat().st_size > 1000


def test_a_machine_of_ones_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shape = tmp_path / "office.yaml"
    shape.write_text(
        "id: office\ntitle: two RTX 4090\ngpus_per_node: 2\ngpu: rtx4090\n"
        "link_within_node_gb_s: {value: 32, source: PCI Express 4.0}\n"
    )
    status, out, _ = run(capsys, "r1-distill-qwen-14b", "--hardware", str(shape), "--serve-config")
    assert status == 0
    arguments = yaml.safe_load(out)["applications"][0]["args"]
    assert arguments["hardware"] == str(shape)
    assert app.derive(app.parse(arguments)).machine.id == "office"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "name a model"),
        (("deepseek-r9",), "no model is called"),
        (("deepseek-r1", "--hardware", "9xh200"), "no machine shape is called"),
        (("deepseek-r1", "--ttft-ms", "fast"), "is no limit"),
        (("deepseek-r1", "--ttft-ms", "p0=5"), "percentile"),
        (("deepseek-r1", "--users", "-3"), "above 0"),
        (("deepseek-r1", "--prompt-tokens", "many"), "--prompt-tokens many"),
        (("deepseek-r1", "--context", "524288"), "163,840 positions"),
        (("deepseek-r1", "--plot", "plot.xyz"), "xyz"),
    ],
)
def test_what_is_wrong_is_named(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], why: str
) -> None:
    status, _, err = run(capsys, *words)
    assert status == 1
    assert why in err

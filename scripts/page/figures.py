"""The README's table of figures: which stand in it, and how each language says them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from scripts.page.benchmarks import Benchmarks

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
_NUMBER = r"([\d.,]+)"
_STATE = "(reached|MISSED|NOT REACHED)"
_HEADS = {
    "en": ("what", "measured", "again by"),
    "zh": ("项目", "实测", "复现命令"),
}
_MISSED = {"en": "**missed**", "zh": "**未达标**"}


@dataclass(frozen=True)
class Row:
    """A row: `said` has a sentence a language, where {0}, {1}… are the groups of all patterns.

    A group that tells whether a target was reached becomes nothing, or the word for a miss.
    """

    section: str
    patterns: tuple[str, ...]
    what: Mapping[str, str]
    said: Mapping[str, str]


ROWS = (
    Row(
        "From a fresh clone to the first right answer",
        (rf"{_NUMBER} s in all",),
        {
            "en": "From `git clone` to the first right answer",
            "zh": "从 `git clone` 到第一个正确答案",
        },
        {"en": "{0} s, installation included", "zh": "{0} 秒，含安装"},
    ),
    Row(
        "Accuracy of r1-nano",
        (rf"^greedy: {_NUMBER} of {_NUMBER}",),
        {"en": "Right answers of r1-nano, greedy", "zh": "r1-nano 的正确率（贪心解码）"},
        {"en": "{0} of {1} questions", "zh": "{0}（共 {1} 题）"},
    ),
    Row(
        "Parity of r1-nano at TP 2 and EP 2",
        (rf"{_NUMBER} prompts, .* greedy text identical for {_NUMBER}",),
        {
            "en": "The same answers as transformers, with TP 2 and EP 2",
            "zh": "TP 2 + EP 2 与 transformers 输出一致",
        },
        {"en": "{1} of {0} prompts", "zh": "{1}（共 {0} 个提示）"},
    ),
    Row(
        "The local stack beside vLLM's own server",
        (r"^\| 16 \| r1 \| [^|]+\| ([\d.]+) \| [^|]+\| ([+\d.]+) \|",),
        {
            "en": "Whole stack, 16 users, beside vLLM's own server (two cores)",
            "zh": "完整栈对比 vLLM 自带服务器，16 用户（双核）",
        },
        {"en": "{0} × its tokens/s, TTFT {1} ms", "zh": "tokens/s 为其 {0} 倍，TTFT {1} ms"},
    ),
    Row(
        "Gateways side by side",
        (
            rf"{_STATE}: added at half of capacity, p50, ≤ 1 ms: {_NUMBER} ms",
            rf"{_STATE}: added at half of capacity, p99, ≤ 5 ms: {_NUMBER} ms",
        ),
        {"en": "What the gateway adds to a call", "zh": "网关给一次调用增加的延迟"},
        {
            "en": "p50 {1} ms (≤ 1) {0}, p99 {3} ms (≤ 5) {2}",
            "zh": "p50 {1} ms (≤ 1) {0}，p99 {3} ms (≤ 5) {2}",
        },
    ),
    Row(
        "Gateways side by side",
        (
            rf"{_STATE}: ≥ 15 × litellm's short calls a second: {_NUMBER}",
            rf"{_STATE}: ≥ 0.6 × vllm-router's short calls a second: {_NUMBER}",
        ),
        {"en": "Short calls a second", "zh": "每秒短请求数"},
        {
            "en": "{1} × LiteLLM (≥ 15) {0}; {3} × vllm-router (≥ 0.6) {2}",
            "zh": "LiteLLM 的 {1} 倍 (≥ 15) {0}；vllm-router 的 {3} 倍 (≥ 0.6) {2}",
        },
    ),
    Row(
        "Gateways side by side",
        (
            rf"{_STATE}: ≥ 50 × litellm's tokens a second: {_NUMBER}",
            rf"{_STATE}: ≥ 1.5 × vllm-router's tokens a second: {_NUMBER}",
        ),
        {"en": "Streamed tokens a second", "zh": "每秒流式 token 数"},
        {
            "en": "{1} × LiteLLM (≥ 50) {0}; {3} × vllm-router (≥ 1.5) {2}",
            "zh": "LiteLLM 的 {1} 倍 (≥ 50) {0}；vllm-router 的 {3} 倍 (≥ 1.5) {2}",
        },
    ),
    Row(
        "Streams of killed engines",
        (
            r"^kills: (\d+)$",
            r"^streams: (\d+), of which continued at the other server: (\d+)$",
            r"^differences from the uncut answers: (\d+)$",
        ),
        {"en": "Engines killed under streams", "zh": "流式输出途中杀死引擎"},
        {
            "en": "{0} kills, {1} streams, {2} continued elsewhere, {3} answers changed",
            "zh": "杀死 {0} 次，{1} 条流，{2} 条在别处续写，{3} 个答案改变",
        },
    ),
    Row(
        "Overload",
        (
            rf"{_STATE}: 10 ×: goodput ≥ 90 % of its peak: {_NUMBER}%",
            r"10 ×: answers that broke: (\d+)",
        ),
        {"en": "Ten times the load that fits", "zh": "十倍于容量的负载"},
        {
            "en": "goodput {1} % of its peak (≥ 90) {0}, {2} answers broken",
            "zh": "有效吞吐为峰值的 {1} % (≥ 90) {0}，{2} 个答案中断",
        },
    ),
    Row(
        "Overload",
        (rf"{_STATE}: 3 ×: shed replies [^:]+ within 20 ms at p99: {_NUMBER} ms",),
        {"en": "Refusals at three times the load", "zh": "三倍负载下的拒绝响应"},
        {"en": "p99 {1} ms (≤ 20) {0}", "zh": "p99 {1} ms (≤ 20) {0}"},
    ),
    Row(
        "Batch windows on a simulated engine",
        (
            rf"^{_STATE} +reasoning: {_NUMBER} of the best throughput",
            rf"^{_STATE} +mixed: TTFT p99 {_NUMBER} of the best window's",
        ),
        {
            "en": "Batch window that follows the load, beside the best fixed one",
            "zh": "随负载变化的批窗口，对比最佳固定窗口",
        },
        {
            "en": "{1} × its tokens/s (≥ 0.95) {0}; mixed load: {3} × its TTFT p99 (≤ 1.05) {2}",
            "zh": "tokens/s 为其 {1} 倍 (≥ 0.95) {0}；混合负载 TTFT p99 为其 {3} 倍 (≤ 1.05) {2}",
        },
    ),
    Row(
        "Predicted against published figures",
        (
            r"^decode: (\d+) of (\d+) within (\d+)% when left out",
            r"^all: median ([\d.]+)% when left out",
        ),
        {"en": "`r1 plan` beside published measurements", "zh": "`r1 plan` 对比公开的实测数据"},
        {
            "en": "median error {3} %; decode: {0} of {1} within {2} %",
            "zh": "误差中位数 {3} %；解码 {1} 项中 {0} 项在 {2} % 以内",
        },
    ),
    Row(
        "Fuzzed requests",
        (r"^requests: (\d+) ", r"^5xx: (\d+)$"),
        {"en": "Malformed requests", "zh": "畸形请求"},
        {"en": "{0}, answered with 5xx: {1}", "zh": "{0} 个，其中 5xx：{1}"},
    ),
    Row(
        "Offline batches beside vLLM's own server",
        (r"^\| 2 \| [^|]+\| [^|]+\| ([\d.]+) \|$",),
        {"en": "`r1 batch` beside a server and its clients", "zh": "`r1 batch` 对比服务器加客户端"},
        {"en": "{0} × the tokens/s: slower on two cores", "zh": "tokens/s 为其 {0} 倍：双核上较慢"},
    ),
)


def table(recorded: Benchmarks, language: str) -> str:
    """The table in a language. Raises LookupError for a figure that is not recorded."""
    lines = [f"| {' | '.join(_HEADS[language])} |", "|---|---|---|"]
    for row in ROWS:
        section = recorded.section(row.section)
        groups = [g for pattern in row.patterns for g in section.find(pattern).groups()]
        said = row.said[language].format(*(_word(each, language) for each in groups))
        # What was reached leaves a blank where the word for a miss would be.
        said = re.sub(r" +(?=[,;，；]|$)", "", said)
        lines.append(f"| {row.what[language]} | {said} | `{section.command}` |")
    return "\n".join(lines)


def written(page: str, recorded: Benchmarks, language: str) -> str:
    """A page with its table made anew."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise LookupError(f"the README has no {BEGIN} … {END}")
    return f"{before}{begin}\n{table(recorded, language)}\n{end}{after}"


def _word(group: str, language: str) -> str:
    if group == "reached":
        return ""
    return _MISSED[language] if group in ("MISSED", "NOT REACHED") else group

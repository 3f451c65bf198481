"""Wherever a run is cut, the next one finds what is done, and the end is the same."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.batch.form import answered, failed
from serving.batch.journal import Journal, UnusableOutput, errors_beside, recover

# Line feeds, line separators and halves of surrogate pairs are all in the texts.
TEXTS = st.text(alphabet=st.one_of(st.characters(), st.sampled_from('\n\r\u2028\x00\ud800"{')))


@st.composite
def outputs(draw: st.DrawFn) -> list[bytes]:
    """Lines of an output, with different custom_ids."""
    ids = draw(st.lists(TEXTS, unique=True, max_size=6))
    lines = []
    for number, custom_id in enumerate(ids):
        text = draw(TEXTS)
        if draw(st.booleans()):
            lines.append(answered(f"batch_req_{number}", custom_id, 200, "x", {"text": text}))
        else:
            lines.append(failed(f"batch_req_{number}", custom_id, {"code": "x", "message": text}))
    return lines


def custom_ids(lines: list[bytes]) -> list[str]:
    return [json.loads(line)["custom_id"] for line in lines]


@given(outputs())
@settings(max_examples=25)
def test_cut_at_every_byte_what_is_whole_is_done(lines: list[bytes]) -> None:
    whole = b"".join(lines)
    for cut in range(len(whole) + 1):
        found = recover(_split(whole[:cut]))
        ends = [len(b"".join(lines[: n + 1])) for n in range(len(lines))]
        count = sum(end <= cut for end in ends)
        assert list(found.done) == custom_ids(lines[:count])
        assert found.whole == (ends[count - 1] if count else 0)


def _split(data: bytes) -> list[bytes]:
    """Lines as a file gives them: only a line feed ends one."""
    pieces = data.split(b"\n")
    return [piece + b"\n" for piece in pieces[:-1]] + [piece for piece in pieces[-1:] if piece]


@given(lines=outputs(), data=st.data())
@settings(max_examples=60)
def test_a_run_that_is_cut_again_and_again_loses_and_doubles_nothing(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], data: st.DataObject
) -> None:
    output = tmp_path_factory.mktemp("batch") / "out.jsonl"
    for _ in range(20):
        with Journal(output, lambda: 0.0) as journal:
            journal.cut()
            left = [line for line in lines if custom_ids([line])[0] not in journal.done]
            for line in left:
                journal.add(line, error=json.loads(line)["response"] is None)
        if data.draw(st.booleans(), label="killed"):
            for path in (output, errors_beside(output)):
                if path.exists():
                    size = data.draw(st.integers(0, path.stat().st_size), label=path.name)
                    with path.open("r+b") as stream:
                        stream.truncate(size)
            continue
        break
    else:
        return
    files = [path for path in (output, errors_beside(output)) if path.exists()]
    written = b"".join(path.read_bytes() for path in files)
    assert sorted(_split(written)) == sorted(lines)


def test_foreign_files_are_left_as_they_are(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    for foreign in (b"notes", b"notes\n", b'{"custom_id": 1}\n', b"[]\n"):
        output.write_bytes(foreign)
        with pytest.raises(UnusableOutput, match="is not a batch's"):
            Journal(output, lambda: 0.0)
        assert output.read_bytes() == foreign


def test_a_custom_id_twice_is_no_journal(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    line = failed("batch_req_1", "a", {"code": "x", "message": "y"})
    output.write_bytes(line * 2)
    with pytest.raises(UnusableOutput, match="line 2: custom_id `a` is there twice"):
        Journal(output, lambda: 0.0)
    output.write_bytes(line)
    errors_beside(output).write_bytes(line)
    with pytest.raises(UnusableOutput, match="custom_id `a` is in"):
        Journal(output, lambda: 0.0)


def test_two_runs_do_not_share_an_output(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    with (
        Journal(output, lambda: 0.0),
        pytest.raises(UnusableOutput, match="another `r1 batch run`"),
    ):
        Journal(output, lambda: 0.0)
    with Journal(output, lambda: 0.0):
        pass


def test_lines_are_on_the_disk_after_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("serving.batch.journal.os.fsync", synced.append)
    now = 0.0
    line = failed("batch_req_1", "a", {"code": "x", "message": "y"})
    with Journal(tmp_path / "out.jsonl", lambda: now) as journal:
        journal.add(line, error=False)
        journal.keep_up()
        assert synced == []
        now = 1.0
        journal.keep_up()
        assert len(synced) == 1
        journal.add(line, error=True)
    assert len(synced) == 2


def test_zeros_that_a_power_failure_left_are_cut_off(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    line = failed("batch_req_1", "a", {"code": "x", "message": "y"})
    for torn in (bytes(9), line[:-5] + bytes(5)):
        output.write_bytes(line + torn)
        with Journal(output, lambda: 0.0) as journal:
            journal.cut()
        assert output.read_bytes() == line

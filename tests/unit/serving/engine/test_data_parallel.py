"""The collectives that data-parallel experts need on CPU, with all ranks in this process."""

from collections.abc import Sequence

import pytest
import torch

from serving.engine.data_parallel import gather_uneven, mend, own_rows


def ranks(sizes: Sequence[int]) -> list[torch.Tensor]:
    """A tensor for each rank; the rows of all together are counted from 1."""
    rows = torch.arange(1.0, sum(sizes) * 3 + 1).reshape(-1, 3)
    return list(torch.split(rows, list(sizes)))


@pytest.mark.parametrize("sizes", [(2, 2), (1, 5), (4, 0, 3), (7,)])
def test_every_rank_gets_every_row_once_and_in_order(sizes: tuple[int, ...]) -> None:
    pieces = ranks(sizes)
    shapes = set()

    def gather(padded: torch.Tensor) -> list[torch.Tensor]:
        shapes.add(tuple(padded.shape))
        others = [torch.nn.functional.pad(p, (0, 0, 0, max(sizes) - len(p))) for p in pieces]
        return others

    for piece in pieces:
        assert torch.equal(torch.cat(gather_uneven(piece, sizes, gather)), torch.cat(pieces))
    assert shapes == {(max(sizes), 3)}


@pytest.mark.parametrize("sizes", [(2, 2), (1, 5), (4, 0, 3), (7,)])
def test_a_rank_takes_back_its_own_rows(sizes: tuple[int, ...]) -> None:
    pieces = ranks(sizes)
    whole = torch.cat(pieces)
    for rank, piece in enumerate(pieces):
        assert torch.equal(own_rows(whole, sizes, rank), piece)


class Communicator:
    """What vLLM's has, for one rank alone."""

    world_size = 1
    rank_in_group = 0
    device_group = None


def test_a_mended_communicator_has_both_collectives(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_gather(pieces: list[torch.Tensor], piece: torch.Tensor, group: object) -> None:
        pieces[0].copy_(piece)

    monkeypatch.setattr("torch.distributed.all_gather", all_gather)
    monkeypatch.setattr("torch.distributed.all_reduce", lambda tensor, group: tensor.mul_(2))

    class Mended(Communicator):
        pass

    mend(Mended)
    mend(Mended)
    alone = Mended()
    tokens, logits = torch.ones(3, 2), torch.zeros(3, 4)
    gathered = alone.all_gatherv([tokens, logits], dim=0, sizes=[3])  # type: ignore[attr-defined]
    assert [tuple(each.shape) for each in gathered] == [(3, 2), (3, 4)]
    summed = alone.reduce_scatterv(tokens, dim=0, sizes=[3])  # type: ignore[attr-defined]
    assert torch.equal(summed, torch.full((3, 2), 2.0))
    assert torch.equal(tokens, torch.ones(3, 2)), "the caller's tensor is not changed"

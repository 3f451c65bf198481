from importlib.util import find_spec

from scripts.prove import PROOFS, recorded

PAGE = "# Benchmarks\n\nWords.\n"


def test_a_proof_is_added_once_and_replaced_after_that() -> None:
    first, second = PROOFS[0], PROOFS[-1]
    page = recorded(PAGE, first, "0.99", "2026-01-01", "2 cores")
    page = recorded(page, second, "ready\n| a table |\n|---|", "2026-01-01", "2 cores")
    page = recorded(page, first, "0.98 \\1", "2026-01-02", "2 cores")
    assert page.startswith(PAGE)
    assert "0.99" not in page
    assert "```\n0.98 \\1\n```" in page
    assert "```\nready\n```\n\n| a table |\n|---|\n<!-- end -->" in page
    assert page.count("<!-- proof: ") == page.count("<!-- end -->") == 2
    assert page.index(first.name) < page.index(second.name)
    assert f"`python -m {second.command}`; 2026-01-01, 2 cores." in page


def test_each_proof_has_a_name_of_its_own() -> None:
    assert len({proof.name for proof in PROOFS}) == len(PROOFS)


def test_each_proof_s_command_is_there() -> None:
    for proof in PROOFS:
        assert find_spec(proof.command.split()[0]) is not None, proof.name

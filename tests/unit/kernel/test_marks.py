"""Our bits of the packet mark: each has one meaning, whatever mask is configured."""

from __future__ import annotations

import pytest

from ipsecfd.kernel.marks import DEFAULT_MASK, Marks

MASKS = [DEFAULT_MASK, 0x1F, 0x3E00, 0x3FF00, 0xF8000000, 0x00FF0000]


@pytest.mark.parametrize("mask", MASKS)
def test_no_two_meanings_share_a_mark(mask: int) -> None:
    """Verdicts of all generations, the bits of routed and of protected packets, and no mark at
    all are told apart, and none of them touches another's bits."""
    marks = Marks(mask)
    generations = range(1, marks.generations + 1)
    verdicts = [mark(number) for number in generations for mark in (marks.permit, marks.block)]
    assert len({0, *verdicts}) == 1 + 2 * marks.generations
    assert marks.generations >= 3
    for mark in verdicts:
        assert mark & ~mask == 0
        assert mark & (marks.routed | marks.protected) == 0
    assert all(marks.block(one) & marks.blocked for one in generations)
    assert not any(marks.permit(one) & marks.blocked for one in generations)
    assert marks.routed | marks.protected | max(verdicts) == mask


@pytest.mark.parametrize("mask", MASKS)
def test_generations_follow_each_other(mask: int) -> None:
    """All of them in turn, never the same twice in a row, and 0 (nothing is learnt) never."""
    marks = Marks(mask)
    turn = [1]
    while (following := marks.following(turn[-1])) != 1:
        turn.append(following)
    assert turn == list(range(1, marks.generations + 1))
    assert marks.following(0) == 1


@pytest.mark.parametrize("mask", [0, 0xF, 0xF0F0, 0x1_0000_0000, 0x1_F000_0000, -1, 0x80000001])
def test_masks_that_do_not_do(mask: int) -> None:
    """Too few bits, bits apart, more than 32."""
    with pytest.raises(ValueError, match="in a row"):
        Marks(mask)

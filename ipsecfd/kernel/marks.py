"""Our bits of the packet mark: what rules tell each other, the judge, and hear from a verdict.

The highest bit tells routed packets from the host's own, the next one those that IPsec protects.
Of the others the lowest says "blocked", and those between are a generation: the number of the
settings that a verdict was given by, so that the kernel learns nothing that later settings might
decide otherwise. A verdict of the settings before the present ones may still be under way, never
one of those before them; so a few numbers in turn are enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DEFAULT_MASK: Final = 0xFC000000
LEAST_BITS: Final = 5


@dataclass(frozen=True, slots=True)
class Marks:
    """The bits of `mask`: of 32, LEAST_BITS or more in a row. Raises ValueError for others."""

    mask: int = DEFAULT_MASK

    def __post_init__(self) -> None:
        low = self.mask & -self.mask
        in_a_row = 0 < self.mask < 1 << 32 and (self.mask + low) & self.mask == 0
        if not in_a_row or self.mask.bit_count() < LEAST_BITS:
            raise ValueError(
                f"expected a number of 32 bits with {LEAST_BITS} or more of them set, in a row,"
                f" such as {DEFAULT_MASK:#010x}"
            )

    @property
    def routed(self) -> int:
        """The bit of a packet that was routed."""
        return 1 << self.mask.bit_length() - 1

    @property
    def protected(self) -> int:
        """The bit of a packet that came, or will leave, through IPsec; set before the queue."""
        return self.routed >> 1

    @property
    def blocked(self) -> int:
        """The bit of a verdict that lets a packet go to its drop, to be learnt on the way."""
        return self.mask & -self.mask

    @property
    def generations(self) -> int:
        """How many generations there are; they count from 1."""
        return (1 << self.mask.bit_count() - 3) - 1

    def permit(self, generation: int) -> int:
        """The mark of packets that settings of a generation permit."""
        return generation * self.blocked << 1

    def block(self, generation: int) -> int:
        """The mark of packets that settings of a generation block."""
        return self.permit(generation) | self.blocked

    def following(self, generation: int) -> int:
        """The generation after this one; after the last comes the first."""
        return generation % self.generations + 1

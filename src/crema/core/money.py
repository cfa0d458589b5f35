"""Money is an exact decimal with two digits; the currency is the chain's."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

CENT: Final = Decimal("0.01")
MAX_AMOUNT: Final = Decimal("9999999.99")
"""Largest single amount taken from a client. Sums of 100 lines of 50 still fit NUMERIC(12, 2)."""


def quantize(amount: Decimal) -> Decimal:
    """Round half up to two digits."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)

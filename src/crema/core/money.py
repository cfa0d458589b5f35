"""Money is an exact decimal with two digits; the currency is the chain's."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

CENT: Final = Decimal("0.01")
MAX_AMOUNT: Final = Decimal("9999999.99")
"""The largest single amount that a client may send. The largest possible sum of an order fits NUMERIC(16, 2)."""


def quantize(amount: Decimal) -> Decimal:
    """Round half up to two digits."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)

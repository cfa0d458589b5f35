"""Rules of modifier groups, default sizes and changed prices."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from crema.core.errors import InvalidError
from crema.core.money import CENT, quantize

MAX_IMAGES: Final = 10
_WHOLE: Final = Decimal(100)


class InvalidModifierGroupError(InvalidError):
    """No choice of options satisfies the limits of a group. `group` is its name."""

    code = "invalid_modifier_group"
    title = "No choice of options satisfies the limits of this modifier group."
    advice = "Change its limits, its default options or its options."

    def __init__(self, group: str, reason: str) -> None:
        super().__init__(f"{group}: {reason}.", group=group)


def changed_price(price: Decimal, *, percent: Decimal, round_to: Decimal | None) -> Decimal:
    """Return a price changed by a percentage, rounded half up to a multiple of `round_to`, or to two decimals."""
    step = round_to or CENT
    changed = price * (_WHOLE + percent) / _WHOLE
    steps = (changed / step).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    return max(quantize(steps * step), Decimal(0))


@dataclass(frozen=True, slots=True)
class OptionRule:
    """What the rules of a group need of one of its options."""

    max_quantity: int
    is_default: bool
    is_active: bool


def check_group(name: str, *, min_choices: int, max_choices: int, options: Iterable[OptionRule]) -> None:
    """Raise InvalidModifierGroupError if no choice of active options satisfies the limits, or if the defaults don't."""
    active = [option for option in options if option.is_active]
    if min_choices > max_choices:
        raise InvalidModifierGroupError(name, f"min_choices {min_choices} is more than max_choices {max_choices}")
    if (pieces := sum(option.max_quantity for option in active)) < min_choices:
        raise InvalidModifierGroupError(name, f"its active options give {pieces} pieces, fewer than {min_choices}")
    if (defaults := sum(option.is_default for option in active)) > max_choices:
        raise InvalidModifierGroupError(name, f"it has {defaults} defaults, more than {max_choices}")


def default_size(marked: Sequence[bool]) -> int | None:
    """Return the index of the default size: the one that is marked, else the first. None if there are no sizes."""
    if not marked:
        return None
    return marked.index(True) if True in marked else 0

"""The rules of shops: their hours, what staff say of them, and when they hand over orders. Pure."""

from crema.shops.domain.chain import (
    EARTH_RADIUS_M,
    Chain,
    IncompleteCoordinatesError,
    Point,
    check_coordinates,
)
from crema.shops.domain.handover import (
    LEAD_SECONDS,
    Handover,
    HandoverCode,
    HandoverRefusal,
    ShopSchedule,
)
from crema.shops.domain.hours import OpeningHours, OpeningState
from crema.shops.domain.status import (
    MAX_DELAY_MINUTES,
    MIN_DELAY_MINUTES,
    InvalidStatusError,
    ShopState,
    ShopStatus,
    check_status,
)
from crema.shops.domain.week import (
    DAY,
    MAX_INTERVALS_A_DAY,
    MAX_SPECIAL_DAYS,
    WEEK,
    DayInterval,
    Interval,
    OverlappingHoursError,
    SpecialDay,
    TooManyIntervalsError,
    check_special_days,
    check_week,
    day_interval,
    interval,
)

__all__ = [
    "DAY",
    "EARTH_RADIUS_M",
    "LEAD_SECONDS",
    "MAX_DELAY_MINUTES",
    "MAX_INTERVALS_A_DAY",
    "MAX_SPECIAL_DAYS",
    "MIN_DELAY_MINUTES",
    "WEEK",
    "Chain",
    "DayInterval",
    "Handover",
    "HandoverCode",
    "HandoverRefusal",
    "IncompleteCoordinatesError",
    "Interval",
    "InvalidStatusError",
    "OpeningHours",
    "OpeningState",
    "OverlappingHoursError",
    "Point",
    "ShopSchedule",
    "ShopState",
    "ShopStatus",
    "SpecialDay",
    "TooManyIntervalsError",
    "check_coordinates",
    "check_special_days",
    "check_status",
    "check_week",
    "day_interval",
    "interval",
]

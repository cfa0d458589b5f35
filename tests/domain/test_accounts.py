"""Whom a person serves."""

from collections.abc import Collection
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from crema.accounts.domain import ALL_SHOPS, PERMISSIONS, Actor, effective_permissions

SHOPS = [UUID(int=number) for number in range(4)]


def actor_of(role: str, permissions: Collection[str], shop_ids: Collection[UUID], *, is_tied: bool) -> Actor:
    may = effective_permissions(role, permissions, is_tied=is_tied or bool(shop_ids))
    return Actor(UUID(int=1), UUID(int=2), role, may, frozenset(shop_ids))


@given(
    role=st.sampled_from(["admin", "support", "barista", "other"]),
    permissions=st.sets(st.sampled_from(sorted(PERMISSIONS))),
    shop_ids=st.sets(st.sampled_from(SHOPS)),
    is_tied=st.booleans(),
)
def test_a6_less_is_never_more(role: str, permissions: set[str], shop_ids: set[UUID], *, is_tied: bool) -> None:
    """Whoever loses a shop or a permission serves no shop that they did not."""
    whole = actor_of(role, permissions, shop_ids, is_tied=is_tied)
    served = {shop for shop in SHOPS if whole.serves(shop)}

    less = [actor_of(role, permissions, shop_ids - {shop}, is_tied=is_tied or bool(shop_ids)) for shop in shop_ids]
    less += [actor_of(role, permissions - {code}, shop_ids, is_tied=is_tied) for code in permissions]

    for actor in less:
        assert {shop for shop in SHOPS if actor.serves(shop)} <= served
        assert actor.permissions <= whole.permissions


@given(permissions=st.sets(st.sampled_from(sorted(PERMISSIONS.keys() - {ALL_SHOPS}))))
def test_a6_without_the_right_no_shops_are_no_shops(permissions: set[str]) -> None:
    assert not any(map(actor_of("other", permissions, (), is_tied=False).serves, SHOPS))

"""Changes to modifier groups and their options."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pydantic import MISSING
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import ConflictError, Loc
from crema.db.base import new_id
from crema.db.edits import apply_changes
from crema.menu import domain, queries
from crema.menu.domain import OptionRule
from crema.menu.models import Ingredient, ModifierGroup, Option, OptionIngredient
from crema.menu.schemas import (
    ModifierGroupIn,
    ModifierGroupOut,
    ModifierGroupPatch,
    OptionIn,
    ReplaceModifierGroup,
)
from crema.menu.service import documents
from crema.menu.service.integrity import check_known, refuse_unknown
from crema.schemas import value_or


class ModifierGroupInUseError(ConflictError):
    """A group that is to be deleted is offered by products."""

    code = "modifier_group_in_use"
    title = "Products offer this modifier group."
    advice = "Send `force=true` to remove it from them."


async def create_modifier_group(session: AsyncSession, *, group_in: ModifierGroupIn, now: datetime) -> ModifierGroup:
    """Add a group with its options and return it."""
    group_in.check_read_only(None)
    await _check_references(session, group_in.options, known=())

    domain.check_group(
        group_in.name,
        min_choices=group_in.min_choices,
        max_choices=group_in.max_choices,
        options=[option.rule for option in group_in.options],
    )

    group = ModifierGroup(
        name=group_in.name,
        min_choices=group_in.min_choices,
        max_choices=group_in.max_choices,
        free_quantity=group_in.free_quantity,
        created_at=now,
        updated_at=now,
    )
    session.add(group)
    await session.flush()
    await _write_options(session, group_id=group.id, options=group_in.options)
    return await queries.get_modifier_group(session, group.id)


async def edit_modifier_group(
    session: AsyncSession, *, group_id: UUID, changes: ModifierGroupPatch | ReplaceModifierGroup, now: datetime
) -> ModifierGroup:
    """Change the fields of a group that were sent, or all fields of a replacement, and return the group.

    Raises InvalidModifierGroupError if the limits of the group, or of a product that offers it, can't be satisfied.
    """
    group = await queries.get_modifier_group_for_update(session, group_id)
    changes.check_read_only(ModifierGroupOut.model_validate(group))
    overrides = await queries.list_limit_overrides(session, group_id)
    if changes.options is not MISSING:
        await _check_references(session, changes.options, known=[option.id for option in group.options])

    rules = rules_of(group) if changes.options is MISSING else [option.rule for option in changes.options]
    min_choices = value_or(changes.min_choices, group.min_choices)
    max_choices = value_or(changes.max_choices, group.max_choices)
    for least, most in [(None, None), *overrides]:
        domain.check_group(
            value_or(changes.name, group.name),
            min_choices=min_choices if least is None else least,
            max_choices=max_choices if most is None else most,
            options=rules,
        )

    await apply_changes(session, group, changes, now=now)
    if changes.options is not MISSING:
        await _write_options(session, group_id=group_id, options=changes.options)
    await documents.refresh(session, documents.products_with_group(group_id))
    return await queries.get_modifier_group(session, group_id)


async def delete_modifier_group(session: AsyncSession, *, group_id: UUID, force: bool) -> None:
    """Delete a group. With `force`, products stop offering it."""
    await queries.get_modifier_group_for_update(session, group_id)
    if not force and await queries.is_group_in_use(session, group_id):
        raise ModifierGroupInUseError
    affected = await documents.fetch_ids(session, documents.products_with_group(group_id))

    await session.execute(delete(ModifierGroup).where(ModifierGroup.id == group_id))
    await documents.refresh(session, affected)


def rules_of(group: ModifierGroup) -> list[OptionRule]:
    """Return what the rules of a group need of its options, which are loaded."""
    return [OptionRule(option.max_quantity, option.is_default, option.is_active) for option in group.options]


async def _check_references(session: AsyncSession, options: Sequence[OptionIn], *, known: Sequence[UUID]) -> None:
    refuse_unknown(
        {
            ("options", place, "id"): option.id
            for place, option in enumerate(options)
            if option.id is not None and option.id not in known
        }
    )
    ingredients: dict[Loc, UUID] = {
        ("options", place, "ingredient_ids", nth): ingredient_id
        for place, option in enumerate(options)
        for nth, ingredient_id in enumerate(option.ingredient_ids)
    }
    await check_known(session, Ingredient, ingredients)


async def _write_options(session: AsyncSession, *, group_id: UUID, options: Sequence[OptionIn]) -> None:
    """Update the options with an id, insert those without, and delete the others."""
    ids = [option.id or new_id() for option in options]
    await session.execute(delete(Option).where(Option.group_id == group_id, Option.id.not_in(ids)))
    if not options:
        return
    rows = [
        {
            "id": id_,
            "group_id": group_id,
            "name": option.name,
            "price_delta": option.price_delta,
            "size_prices": [each.model_dump(mode="json") for each in option.size_prices],
            "max_quantity": option.max_quantity,
            "is_default": option.is_default,
            "is_active": option.is_active,
            "allergens": option.allergens,
            "nutrition": option.nutrition.model_dump() if option.nutrition else None,
            "size_nutrition": [each.model_dump() for each in option.size_nutrition],
            "position": place,
        }
        for place, (id_, option) in enumerate(zip(ids, options, strict=True))
    ]
    upsert = insert(Option).values(rows)
    changed = {name: upsert.excluded[name] for name in rows[0] if name not in ("id", "group_id")}
    await session.execute(upsert.on_conflict_do_update(index_elements=["id"], set_=changed))

    links = [
        {"option_id": id_, "ingredient_id": ingredient_id, "position": place}
        for id_, option in zip(ids, options, strict=True)
        for place, ingredient_id in enumerate(option.ingredient_ids)
    ]
    await session.execute(delete(OptionIngredient).where(OptionIngredient.option_id.in_(ids)))
    if links:
        await session.execute(insert(OptionIngredient).values(links))

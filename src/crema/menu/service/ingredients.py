"""Every change to the ingredients."""

from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import ConflictError
from crema.db.edits import when_violated
from crema.menu import queries
from crema.menu.models import Ingredient, OptionIngredient, Product, ProductIngredient
from crema.menu.schemas import IngredientIn, IngredientOut, IngredientPatch, ReplaceIngredient
from crema.menu.service import documents
from crema.schemas import value_or


class IngredientTakenError(ConflictError):
    """An ingredient of this name exists; case and ё don't make another."""

    code = "ingredient_taken"
    title = "There is an ingredient with this name."
    advice = "Use that one, or choose another name."


class IngredientInUseError(ConflictError):
    """A product or an option contains it."""

    code = "ingredient_in_use"
    title = "Products or options contain this ingredient."
    advice = "Send `force=true` to remove it from them."


async def create_ingredient(session: AsyncSession, *, wanted: IngredientIn) -> Ingredient:
    """Add an ingredient."""
    ingredient = Ingredient(name=wanted.name)
    session.add(ingredient)
    with when_violated(IngredientTakenError(), "uq_ingredients_name_folded"):
        await session.flush()
    return ingredient


async def edit_ingredient(
    session: AsyncSession, *, ingredient_id: UUID, wanted: IngredientPatch | ReplaceIngredient
) -> Ingredient:
    """Set fields of an ingredient: those that were sent, or all of a replacement."""
    ingredient = await queries.get_ingredient_for_update(session, ingredient_id)
    wanted.check_read_only(IngredientOut.model_validate(ingredient))

    ingredient.name = value_or(wanted.name, ingredient.name)
    with when_violated(IngredientTakenError(), "uq_ingredients_name_folded"):
        await session.flush()
    await documents.refresh(session, documents.of_ingredient(ingredient_id))
    return ingredient


async def delete_ingredient(session: AsyncSession, *, ingredient_id: UUID, force: bool) -> None:
    """Drop an ingredient nothing on the menu contains; with `force` what contains it loses it.

    Archived products forget it.
    """
    await queries.get_ingredient_for_update(session, ingredient_id)
    showing = await documents.find(session, documents.of_ingredient(ingredient_id)) if force else []

    forgetful = select(Product.id) if force else select(Product.id).where(Product.archived_at.is_not(None))
    await session.execute(
        delete(ProductIngredient).where(
            ProductIngredient.ingredient_id == ingredient_id, ProductIngredient.product_id.in_(forgetful)
        )
    )
    if force:
        await session.execute(delete(OptionIngredient).where(OptionIngredient.ingredient_id == ingredient_id))
    constraints = ("fk_product_ingredients_ingredient_id", "fk_option_ingredients_ingredient_id")
    with when_violated(IngredientInUseError(), *constraints):
        await session.execute(delete(Ingredient).where(Ingredient.id == ingredient_id))
    if showing:
        await documents.refresh(session, showing)

"""Changes to ingredients."""

from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.errors import ConflictError
from crema.db.edits import raise_on_constraint
from crema.menu import queries
from crema.menu.models import Ingredient, OptionIngredient, Product, ProductIngredient
from crema.menu.schemas import IngredientIn, IngredientOut, IngredientPatch, ReplaceIngredient
from crema.menu.service import documents
from crema.schemas import value_or


class IngredientTakenError(ConflictError):
    """There is an ingredient with this name. Case, and ё instead of е, make no difference."""

    code = "ingredient_taken"
    title = "There is an ingredient with this name."
    advice = "Use that one, or choose another name."


class IngredientInUseError(ConflictError):
    """An ingredient that is to be deleted is contained in a product or an option."""

    code = "ingredient_in_use"
    title = "Products or options contain this ingredient."
    advice = "Send `force=true` to remove it from them."


async def create_ingredient(session: AsyncSession, *, ingredient_in: IngredientIn) -> Ingredient:
    """Add an ingredient and return it."""
    ingredient = Ingredient(name=ingredient_in.name)
    session.add(ingredient)
    with raise_on_constraint(IngredientTakenError(), "uq_ingredients_name_folded"):
        await session.flush()
    return ingredient


async def edit_ingredient(
    session: AsyncSession, *, ingredient_id: UUID, changes: IngredientPatch | ReplaceIngredient
) -> Ingredient:
    """Change the fields of an ingredient that were sent, or all fields of a replacement, and return the ingredient."""
    ingredient = await queries.get_ingredient_for_update(session, ingredient_id)
    changes.check_read_only(IngredientOut.model_validate(ingredient))

    ingredient.name = value_or(changes.name, ingredient.name)
    with raise_on_constraint(IngredientTakenError(), "uq_ingredients_name_folded"):
        await session.flush()
    await documents.refresh(session, documents.products_with_ingredient(ingredient_id))
    return ingredient


async def delete_ingredient(session: AsyncSession, *, ingredient_id: UUID, force: bool) -> None:
    """Delete an ingredient that nothing on the menu contains. With `force`, products and options lose it.

    Archived products always lose it.
    """
    await queries.get_ingredient_for_update(session, ingredient_id)
    affected = await documents.fetch_ids(session, documents.products_with_ingredient(ingredient_id)) if force else []

    losing = select(Product.id) if force else select(Product.id).where(Product.archived_at.is_not(None))
    await session.execute(
        delete(ProductIngredient).where(
            ProductIngredient.ingredient_id == ingredient_id, ProductIngredient.product_id.in_(losing)
        )
    )
    if force:
        await session.execute(delete(OptionIngredient).where(OptionIngredient.ingredient_id == ingredient_id))
    constraints = ("fk_product_ingredients_ingredient_id", "fk_option_ingredients_ingredient_id")
    with raise_on_constraint(IngredientInUseError(), *constraints):
        await session.execute(delete(Ingredient).where(Ingredient.id == ingredient_id))
    if affected:
        await documents.refresh(session, affected)

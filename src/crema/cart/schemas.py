"""JSON of the cart."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import MISSING, ConfigDict, Field

from crema.cart.domain import MAX_QUANTITY, Choice, LineRequest, ProblemCode
from crema.menu.domain import Allergen
from crema.menu.schemas import IngredientOut, NutritionOut
from crema.schemas import EXAMPLE_ID, Amount, Input, Instant, OptionalLine, Output, SignedAmount, value_or

Quantity = Annotated[int, Field(strict=True, ge=1, le=MAX_QUANTITY, examples=[2])]
Note = Annotated[OptionalLine, Field(max_length=300, examples=["Погорячее, пожалуйста"])]


class ChoiceIn(Input):
    """One or several pieces of an option."""

    option_id: UUID
    quantity: Annotated[int, Field(strict=True, ge=1, le=20, examples=[1])] = 1


SizeId = Annotated[UUID | None, Field(description="Left out: the product's default size.")]
Choices = Annotated[
    Annotated[list[ChoiceIn], Field(max_length=50)] | None,
    Field(
        description="Left out: the defaults of every group. Required groups that are left out get their defaults.",
    ),
]


def _chosen(options: Sequence[ChoiceIn] | None) -> tuple[Choice, ...] | None:
    return None if options is None else tuple(Choice(option.option_id, option.quantity) for option in options)


class AddToCart(Input):
    """A configured product and its quantity."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "product_id": EXAMPLE_ID,
                    "quantity": 2,
                    "size_id": EXAMPLE_ID,
                    "options": [{"option_id": EXAMPLE_ID, "quantity": 1}],
                    "note": "Погорячее, пожалуйста",
                },
                {"product_id": EXAMPLE_ID},
            ]
        }
    )

    size_id: SizeId = None
    options: Choices = None
    note: Note = ""
    product_id: UUID
    quantity: Quantity = 1

    def choices(self) -> tuple[Choice, ...] | None:
        """Return the options as the domain's choices; None if the client left them out."""
        return _chosen(self.options)

    def as_request(self) -> LineRequest:
        """Return the line as a new one."""
        return LineRequest(self.product_id, self.size_id, self.choices(), self.note, self.quantity, is_new=True)


class ChangeItem(Input):
    """The changes to an item. Fields that are left out stay as they are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"quantity": 3}]})

    size_id: SizeId | MISSING = MISSING
    options: Choices | MISSING = MISSING
    note: Note | MISSING = MISSING
    quantity: Quantity | MISSING = MISSING

    def choices(self) -> tuple[Choice, ...] | None:
        """Return the options as the domain's choices; None if the client left them out."""
        return _chosen(value_or(self.options, None))


class ChooseShop(Input):
    """The shop where the order will be picked up; null for none."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"shop_id": EXAMPLE_ID}]})

    shop_id: UUID | None


class CartOptionOut(Output):
    """A chosen option. `price_delta` is for one piece in the chosen size, `price` for all pieces but the free ones."""

    option_id: UUID
    name: str
    group: str
    quantity: int
    price_delta: SignedAmount
    price: SignedAmount


class ItemProblemOut(Output):
    """One reason why a line can't be ordered as it was chosen."""

    code: ProblemCode
    detail: str = Field(examples=["Молоко: choose 1, not 0."])
    until: Instant | None = Field(None, description="When the problem ends by itself, if that is known.")
    suggestion: str | None = Field(None, description="What to choose instead, if there is something.")


class ContentsOut(Output):
    """What one piece of a product contains in its size and with its options."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "allergens": ["gluten"],
                    "ingredients": [
                        {"id": EXAMPLE_ID, "name": "Эспрессо"},
                        {"id": "01a2074f-26f7-7216-8892-26d298d63ed1", "name": "Овсяное молоко"},
                    ],
                    "nutrition": {
                        "energy_kcal": 96,
                        "proteins_g": 1.7,
                        "fats_g": 4.8,
                        "carbohydrates_g": 10.9,
                        "caffeine_mg": 65,
                    },
                }
            ]
        }
    )

    allergens: list[Allergen] = Field(
        description="Of the product and the chosen options. Where a default option is replaced, the product's own stay "
        "but for those that its `allergens_always` gives free."
    )
    ingredients: list[IngredientOut] = Field(
        description="Without the ingredients of default options that were replaced."
    )
    nutrition: NutritionOut | None = Field(
        description="That of the size, less the default options that were not chosen, plus each piece of those that "
        "were. null where the menu doesn't say one of these; `caffeine_mg` alone is null where only that is unknown."
    )


class CartItemOut(Output):
    """A line of the cart at the prices of now."""

    id: UUID
    product_id: UUID
    name: str
    size_id: UUID | None
    size_name: str | None
    options: list[CartOptionOut]
    note: str
    quantity: int
    unit_price: Amount
    total: Amount
    contents: ContentsOut | None = Field(
        description="Allergens, ingredients and nutrition of one, made as it was chosen, as the menu says now; null "
        "for what can't be ordered as it is."
    )
    is_available: bool
    reason: str | None = Field(description="The text of the first of `problems`.")
    problems: list[ItemProblemOut] = Field(
        description="The reasons why the item can't be ordered as it is; empty if it can."
    )


class CartOut(Output):
    """The cart at the prices of now. Items that are not available don't count."""

    id: UUID
    shop_id: UUID | None
    items: list[CartItemOut]
    subtotal: Amount
    discount: Amount = Decimal(0)
    total: Amount
    currency: str
    updated_at: Instant

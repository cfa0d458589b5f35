"""Tables of the menu. Every many-to-many relationship has a table of its own, with positions."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    String,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.orm import Mapped, mapped_column, relationship

from crema.db.base import Base, Created, Id, Money, Updated, case_folded, trigram_index
from crema.media.domain import media_name
from crema.menu.domain import CategoryImage, category_image


class ProductCategory(Base):
    """Link: a product is in a category.

    `position` is the product's place in the order that was set for the category. Products without one come after these,
    in the order of their own positions.
    """

    __tablename__ = "product_categories"

    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), primary_key=True)
    category_id: Mapped[UUID] = mapped_column(ForeignKey("categories.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int | None]

    category: Mapped["Category"] = relationship(lazy="raise")


Index("ix_product_categories_category_id_position", ProductCategory.category_id, ProductCategory.position)


class Category(Base):
    """A category of the menu; categories form a tree.

    `schedule` says when its products are sold, in the zone of each shop:
    `[{"weekdays", "from", "to", "starts_on", "ends_on"}]`. An empty list means always.

    `is_on_menu`: this category and all above it are active. `menu.service.categories` sets it. The columns `image_…`
    are those of its picture, if it has one; `image_key` is as `ProductImage.key`.
    """

    __tablename__ = "categories"
    __table_args__ = (
        CheckConstraint("parent_id <> id", "not_its_own_parent"),
        CheckConstraint(
            "num_nulls(image_key, image_alt, image_width, image_height, image_widths, image_created_at) IN (0, 6)",
            "image",
        ),
        CheckConstraint("jsonb_typeof(schedule) = 'array'", "schedule"),
    )

    id: Mapped[Id]
    slug: Mapped[str] = mapped_column(String(80), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    description: Mapped[str] = mapped_column(server_default="")
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("categories.id", ondelete="RESTRICT"), index=True)
    position: Mapped[int] = mapped_column(server_default="0")
    is_active: Mapped[bool] = mapped_column(server_default="true")
    is_on_menu: Mapped[bool] = mapped_column(server_default="true")
    schedule: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default="[]")
    image_key: Mapped[str | None] = mapped_column(String(80), unique=True)
    image_alt: Mapped[str | None] = mapped_column(String(300))
    image_width: Mapped[int | None]
    image_height: Mapped[int | None]
    image_widths: Mapped[list[int] | None] = mapped_column(ARRAY(SmallInteger))
    image_created_at: Mapped[datetime | None]
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]

    @property
    def image(self) -> CategoryImage | None:
        """Its picture."""
        return category_image(
            key=self.image_key,
            alt=self.image_alt,
            width=self.image_width,
            height=self.image_height,
            widths=self.image_widths,
        )


class Ingredient(Base):
    """What products and options are made of."""

    __tablename__ = "ingredients"

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(String(120))


class ProductIngredient(Base):
    """Link: a product contains an ingredient."""

    __tablename__ = "product_ingredients"

    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), primary_key=True)
    ingredient_id: Mapped[UUID] = mapped_column(
        ForeignKey("ingredients.id", ondelete="RESTRICT"), primary_key=True, index=True
    )
    position: Mapped[int] = mapped_column(server_default="0")

    ingredient: Mapped[Ingredient] = relationship(lazy="raise")


class OptionIngredient(Base):
    """Link: an option adds an ingredient."""

    __tablename__ = "option_ingredients"

    option_id: Mapped[UUID] = mapped_column(ForeignKey("options.id", ondelete="CASCADE"), primary_key=True)
    ingredient_id: Mapped[UUID] = mapped_column(
        ForeignKey("ingredients.id", ondelete="RESTRICT"), primary_key=True, index=True
    )
    position: Mapped[int] = mapped_column(server_default="0")

    ingredient: Mapped[Ingredient] = relationship(lazy="raise")


class Option(Base):
    """One choice of a modifier group. `price_delta` is for each piece beyond the group's free quantity.

    `size_prices`, `[{"size_name": …, "price_delta": …}]`, replaces it in sizes with these names. `nutrition` is what
    one piece adds; `size_nutrition`, `[{"size_name": …, "nutrition": {…}}]`, replaces it in sizes with these names.
    """

    __tablename__ = "options"
    __table_args__ = (
        CheckConstraint("jsonb_typeof(size_prices) = 'array'", "size_prices"),
        CheckConstraint("jsonb_typeof(nutrition) = 'object'", "nutrition"),
        CheckConstraint("jsonb_typeof(size_nutrition) = 'array'", "size_nutrition"),
        CheckConstraint("max_quantity BETWEEN 1 AND 20", "max_quantity"),
    )

    id: Mapped[Id]
    group_id: Mapped[UUID] = mapped_column(ForeignKey("modifier_groups.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(120))
    price_delta: Mapped[Money] = mapped_column(server_default="0")
    size_prices: Mapped[list[dict[str, str]]] = mapped_column(JSONB, server_default="[]")
    max_quantity: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    is_default: Mapped[bool] = mapped_column(server_default="false")
    is_active: Mapped[bool] = mapped_column(server_default="true")
    position: Mapped[int] = mapped_column(server_default="0")
    allergens: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default="{}")
    nutrition: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    size_nutrition: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default="[]")

    ingredients: Mapped[list[OptionIngredient]] = relationship(
        lazy="raise",
        order_by="OptionIngredient.position, OptionIngredient.ingredient_id",
        cascade="all, delete-orphan",
        passive_deletes=True,
    )


class ModifierGroup(Base):
    """A reusable set of options ("Milk"). Limits count pieces: two pumps of one syrup are two.

    `free_quantity` pieces cost nothing; the cart's rules of pricing say which.
    """

    __tablename__ = "modifier_groups"
    __table_args__ = (
        CheckConstraint("min_choices BETWEEN 0 AND max_choices", "choices"),
        CheckConstraint("max_choices BETWEEN 1 AND 50", "max_choices"),
        CheckConstraint("free_quantity BETWEEN 0 AND 50", "free_quantity"),
    )

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(String(120))
    min_choices: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    max_choices: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    free_quantity: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]

    options: Mapped[list[Option]] = relationship(
        lazy="raise", order_by="Option.position, Option.id", cascade="all, delete-orphan", passive_deletes=True
    )


class ProductModifierGroup(Base):
    """Link: a product offers a group, at a position.

    Limits and free quantity are set for this product; None: those of the group count.
    """

    __tablename__ = "product_modifier_groups"
    __table_args__ = (
        CheckConstraint("min_choices >= 0", "min_choices"),
        CheckConstraint("max_choices BETWEEN 1 AND 50", "max_choices"),
        CheckConstraint("min_choices <= max_choices", "choices"),
        CheckConstraint("free_quantity BETWEEN 0 AND 50", "free_quantity"),
    )

    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), primary_key=True)
    group_id: Mapped[UUID] = mapped_column(
        ForeignKey("modifier_groups.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    position: Mapped[int] = mapped_column(server_default="0")
    min_choices: Mapped[int | None] = mapped_column(SmallInteger)
    max_choices: Mapped[int | None] = mapped_column(SmallInteger)
    free_quantity: Mapped[int | None] = mapped_column(SmallInteger)

    group: Mapped[ModifierGroup] = relationship(lazy="raise")

    @property
    def effective_min_choices(self) -> int:
        """How many pieces must be chosen with this product."""
        return self.group.min_choices if self.min_choices is None else self.min_choices

    @property
    def effective_max_choices(self) -> int:
        """How many pieces may be chosen with this product."""
        return self.group.max_choices if self.max_choices is None else self.max_choices

    @property
    def effective_free_quantity(self) -> int:
        """How many pieces cost nothing with this product."""
        return self.group.free_quantity if self.free_quantity is None else self.free_quantity


class Size(Base):
    """A size in which a product is sold. Its price is the product's plus `price_delta`.

    `nutrition` is that of this size with the default options. If it is None, the default size has the product's
    nutrition, and that of other sizes is unknown.
    """

    __tablename__ = "sizes"
    __table_args__ = (
        UniqueConstraint("product_id", "name"),
        CheckConstraint("volume_ml > 0", "volume_ml"),
        CheckConstraint("jsonb_typeof(nutrition) = 'object'", "nutrition"),
        Index("uq_sizes_default", "product_id", unique=True, postgresql_where=text("is_default")),
    )

    id: Mapped[Id]
    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(40))
    volume_ml: Mapped[int | None]
    price_delta: Mapped[Money] = mapped_column(server_default="0")
    is_default: Mapped[bool] = mapped_column(server_default="false")
    nutrition: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    position: Mapped[int] = mapped_column(server_default="0")


class ProductImage(Base):
    """A picture, re-encoded in several widths; `key` names its files in the media store.

    `width` and `height` are those of the largest file.
    """

    __tablename__ = "product_images"

    id: Mapped[Id]
    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), index=True)
    key: Mapped[str] = mapped_column(String(80), unique=True)
    alt: Mapped[str] = mapped_column(String(300), server_default="")
    width: Mapped[int]
    height: Mapped[int]
    widths: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    position: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[Created]

    @property
    def urls(self) -> dict[str, str]:
        """The URLs of its files, by width."""
        return {str(width): f"/media/{media_name(self.key, width)}" for width in self.widths}


class Product(Base):
    """A product that is sold. Deleting a product archives its row, because carts and past orders refer to it.

    `schedule` is like that of a category. A product is sold while both allow it.
    """

    __tablename__ = "products"
    __table_args__ = (
        CheckConstraint("price >= 0", "price"),
        CheckConstraint("preparation_seconds BETWEEN 0 AND 7200", "preparation_seconds"),
        CheckConstraint("jsonb_typeof(schedule) = 'array'", "schedule"),
    )

    id: Mapped[Id]
    slug: Mapped[str] = mapped_column(String(80))
    name: Mapped[str] = mapped_column(String(120))
    description: Mapped[str] = mapped_column(server_default="")
    price: Mapped[Money]
    is_active: Mapped[bool] = mapped_column(server_default="true")
    position: Mapped[int] = mapped_column(server_default="0")
    allergens: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default="{}")
    allergens_always: Mapped[list[str] | None] = mapped_column(ARRAY(TEXT))
    nutrition: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    preparation_seconds: Mapped[int] = mapped_column(SmallInteger, server_default="90")
    schedule: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default="[]")
    archived_at: Mapped[datetime | None]
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]

    categories: Mapped[list[ProductCategory]] = relationship(
        lazy="raise", order_by="ProductCategory.category_id", cascade="all, delete-orphan", passive_deletes=True
    )
    sizes: Mapped[list[Size]] = relationship(
        lazy="raise", order_by="Size.position, Size.id", cascade="all, delete-orphan", passive_deletes=True
    )
    modifier_groups: Mapped[list[ProductModifierGroup]] = relationship(
        lazy="raise",
        order_by="ProductModifierGroup.position, ProductModifierGroup.group_id",
        cascade="all, delete-orphan",
        passive_deletes=True,
    )
    ingredients: Mapped[list[ProductIngredient]] = relationship(
        lazy="raise",
        order_by="ProductIngredient.position, ProductIngredient.ingredient_id",
        cascade="all, delete-orphan",
        passive_deletes=True,
    )
    images: Mapped[list[ProductImage]] = relationship(
        lazy="raise",
        order_by="ProductImage.position, ProductImage.id",
        cascade="all, delete-orphan",
        passive_deletes=True,
    )

    @property
    def is_on_menu(self) -> bool:
        """Whether the public sees it: it is active, and it is in no category or in one that is on the menu."""
        return self.is_active and (not self.categories or any(link.category.is_on_menu for link in self.categories))


class ProductDocument(Base):
    """The stored documents of a product: the JSON that `GET /product/{id}` sends, and what pricing needs.

    `public` is None while the public doesn't see the product. `full`, what editors see, is None if it is the same.
    `pricing` is the JSON of a `PricedProduct`, which doesn't depend on what the menu shows. `shape` is the digest of
    the schemas. `can_be_without` has the allergens that some choice of options avoids. `search_text` has a line for
    each text that editors see, `public_search_text` for each that the public sees. Only `menu.service.documents` writes
    this table.
    """

    __tablename__ = "product_documents"
    __table_args__ = (CheckConstraint('"full" IS NOT NULL OR public IS NOT NULL', "some"),)

    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), primary_key=True)
    shape: Mapped[str] = mapped_column(String(16))
    full: Mapped[bytes | None] = mapped_column(LargeBinary)
    public: Mapped[bytes | None] = mapped_column(LargeBinary)
    pricing: Mapped[bytes] = mapped_column(LargeBinary, server_default=text("''"))
    can_be_without: Mapped[list[str]] = mapped_column(ARRAY(TEXT), server_default="{}")
    search_text: Mapped[str] = mapped_column(TEXT, server_default="")
    public_search_text: Mapped[str] = mapped_column(TEXT, server_default="")

    @classmethod
    def everything(cls) -> ColumnElement[bytes]:
        """Return the column of what editors see."""
        return func.coalesce(cls.full, cls.public)


trigram_index("ix_product_documents_search_text_trgm", ProductDocument.search_text)
trigram_index("ix_product_documents_public_search_text_trgm", ProductDocument.public_search_text)
Index("ix_product_documents_can_be_without", ProductDocument.can_be_without, postgresql_using="gin")
Index(
    "ix_product_documents_public",
    ProductDocument.product_id,
    postgresql_where=ProductDocument.public.is_not(None),
)


class MenuVersion(Base):
    """The menu's version, in one row.

    Every change of the menu sets a random one, so that a restored backup repeats none.
    """

    __tablename__ = "menu_versions"
    __table_args__ = (CheckConstraint("id = 1", "one_row"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    version: Mapped[UUID]


class ShopProduct(Base):
    """What a shop sets for itself about a product.

    A price of None: the chain's counts. A stock of None isn't counted.
    """

    __tablename__ = "shop_products"
    __table_args__ = (CheckConstraint("price >= 0", "price"), CheckConstraint("stock >= 0", "stock"))

    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True)
    product_id: Mapped[UUID] = mapped_column(
        ForeignKey("products.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    price: Mapped[Money | None]
    is_sold: Mapped[bool] = mapped_column(server_default="true")
    stock: Mapped[int | None]
    updated_at: Mapped[Updated]


class ShopOption(Base):
    """What a shop sets for itself about an option.

    If the delta is None, the chain's counts; else it counts in all sizes.
    """

    __tablename__ = "shop_options"

    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True)
    option_id: Mapped[UUID] = mapped_column(ForeignKey("options.id", ondelete="CASCADE"), primary_key=True, index=True)
    price_delta: Mapped[Money | None]
    is_sold: Mapped[bool] = mapped_column(server_default="true")
    updated_at: Mapped[Updated]


class Stop(Base):
    """An entry of a shop's stop-list: what has run out, and until when; None: until somebody takes it off the list.

    Entries whose end has passed don't count. They are deleted when the next one is added.
    """

    __tablename__ = "stops"
    __table_args__ = (
        CheckConstraint("num_nonnulls(ingredient_id, product_id, option_id) = 1", "one_target"),
        UniqueConstraint("shop_id", "ingredient_id"),
        UniqueConstraint("shop_id", "product_id"),
        UniqueConstraint("shop_id", "option_id"),
    )

    id: Mapped[Id]
    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shops.id", ondelete="CASCADE"))
    ingredient_id: Mapped[UUID | None] = mapped_column(ForeignKey("ingredients.id", ondelete="CASCADE"), index=True)
    product_id: Mapped[UUID | None] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), index=True)
    option_id: Mapped[UUID | None] = mapped_column(ForeignKey("options.id", ondelete="CASCADE"), index=True)
    until: Mapped[datetime | None]
    note: Mapped[str] = mapped_column(String(300), server_default="")
    created_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[Created]


class ShopOffers(Base):
    """What a shop has different from the chain, as one document, and its version, which changes with it.

    Only `menu.service.offers` writes this table, in the transaction of the change. Of stocks the document has only
    those that are used up, because the others change with every order.
    """

    __tablename__ = "shop_offers"

    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[UUID]
    document: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")


# Every field by which lists are filtered or sorted has an index here. Orders end with the id, so the indexes do, too.
# The first index is for the default order.
Index("ix_categories_position_name_folded", Category.position, case_folded(Category.name), Category.id)
Index("ix_categories_name_folded", case_folded(Category.name), Category.id)
Index("ix_categories_is_active", Category.is_active, Category.id)
Index("ix_categories_is_on_menu", Category.is_on_menu, Category.id)
Index("ix_categories_created_at", Category.created_at, Category.id)
Index("ix_categories_updated_at", Category.updated_at, Category.id)
trigram_index("ix_categories_name_trgm", Category.name)
trigram_index("ix_categories_slug_trgm", Category.slug)
trigram_index("ix_categories_description_trgm", Category.description)
trigram_index("ix_categories_image_alt_trgm", Category.image_alt, where=Category.image_alt.is_not(None))

_LIVE = Product.archived_at.is_(None)
Index("uq_products_slug", Product.slug, unique=True, postgresql_where=_LIVE)
Index(
    "ix_products_position_name_folded", Product.position, case_folded(Product.name), Product.id, postgresql_where=_LIVE
)
Index("ix_products_name_folded", case_folded(Product.name), Product.id, postgresql_where=_LIVE)
Index("ix_products_price", Product.price, Product.id, postgresql_where=_LIVE)
Index("ix_products_is_active", Product.is_active, Product.id, postgresql_where=_LIVE)
Index("ix_products_created_at", Product.created_at, Product.id, postgresql_where=_LIVE)
Index("ix_products_updated_at", Product.updated_at, Product.id, postgresql_where=_LIVE)
trigram_index("ix_products_name_trgm", Product.name, where=_LIVE)
trigram_index("ix_products_slug_trgm", Product.slug, where=_LIVE)
Index("ix_products_allergens", Product.allergens, postgresql_using="gin", postgresql_where=_LIVE)
trigram_index("ix_products_description_trgm", Product.description, where=_LIVE)

Index("uq_ingredients_name_folded", case_folded(Ingredient.name), unique=True)
trigram_index("ix_ingredients_name_trgm", Ingredient.name)

Index("ix_modifier_groups_name_folded", case_folded(ModifierGroup.name), ModifierGroup.id)
Index("ix_modifier_groups_created_at", ModifierGroup.created_at, ModifierGroup.id)
Index("ix_modifier_groups_updated_at", ModifierGroup.updated_at, ModifierGroup.id)
trigram_index("ix_modifier_groups_name_trgm", ModifierGroup.name)

trigram_index("ix_sizes_name_trgm", Size.name)
Index("ix_sizes_volume_ml", Size.volume_ml, Size.product_id)
trigram_index("ix_options_name_trgm", Option.name)
trigram_index("ix_product_images_alt_trgm", ProductImage.alt)

"""What the menu's routes take from the application and from who is asking."""

from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Query, Request

from crema.accounts.deps import MenuEditor, Person, StockKeeper
from crema.accounts.domain import Actor
from crema.core.errors import ForbiddenError, NotFoundError
from crema.db.listing import Listing, ListQuery
from crema.media.deps import admit
from crema.media.domain import MAX_BYTES, MENU_QUOTA, WORKBOOK_QUOTA
from crema.media.service.workbooks import WorkbookReader
from crema.menu import queries
from crema.menu.models import Category, Ingredient, ModifierGroup, Product
from crema.menu.schemas import ImageForm, MenuWorkbookForm
from crema.menu.service import images
from crema.menu.service.whole_menu import WholeMenu
from crema.shops import queries as shops
from crema.shops.deps import Granted
from crema.web import fields
from crema.web.clock import Now
from crema.web.forms import Upload, read_upload
from crema.web.listing import parse_list_query
from crema.web.preconditions import Versioned
from crema.web.state import state_of
from crema.web.transaction import Reads, Transaction

EDIT_MENU: Final = "menu:write"
PRODUCT: Final = Versioned(Product.id, "product_id")
CATEGORY: Final = Versioned(Category.id, "category_id")
INGREDIENT: Final = Versioned(Ingredient.id, "ingredient_id")
MODIFIER_GROUP: Final = Versioned(ModifierGroup.id, "group_id")


async def _sees_hidden(permissions: Granted) -> bool:
    return EDIT_MENU in permissions


SeesHidden = Annotated[bool, Depends(_sees_hidden)]
"""Whether inactive categories, products and options show."""


def _query(listing: Listing) -> Callable[..., Coroutine[Any, Any, ListQuery]]:
    async def parse(request: Request, permissions: Granted) -> ListQuery:
        return parse_list_query(request, listing, permissions, also=(fields.NAME,))

    return parse


async def _one_category(request: Request) -> UUID | None:
    ids = request.query_params.getlist("category_id")
    try:
        return UUID(ids[0]) if len(ids) == 1 else None
    except ValueError:  # the list's language refuses it
        return None


OneCategory = Annotated[UUID | None, Depends(_one_category)]
"""The category whose products are listed, if it is one."""


async def _products_query(
    request: Request, permissions: Granted, category_id: OneCategory, *, sees_hidden: SeesHidden
) -> ListQuery:
    if category_id is not None:
        listing = queries.PRODUCTS_OF_CATEGORY if sees_hidden else queries.PUBLIC_PRODUCTS_OF_CATEGORY
    else:
        listing = queries.PRODUCTS if sees_hidden else queries.PUBLIC_PRODUCTS
    return parse_list_query(request, listing, permissions, also=(fields.NAME,))


CategoriesQuery = Annotated[ListQuery, Depends(_query(queries.CATEGORIES))]
ProductsQuery = Annotated[ListQuery, Depends(_products_query)]
IngredientsQuery = Annotated[ListQuery, Depends(_query(queries.INGREDIENTS))]


async def _modifier_groups_query(request: Request, editor: MenuEditor) -> ListQuery:
    return parse_list_query(request, queries.MODIFIER_GROUPS, editor.permissions, also=(fields.NAME,))


ModifierGroupsQuery = Annotated[ListQuery, Depends(_modifier_groups_query)]


async def _menu_of_shop(
    reader: Reads, shop_id: Annotated[UUID | None, Query(description="A shop where one can order.")] = None
) -> UUID | None:
    if shop_id is not None and not await shops.takes_orders(reader, shop_id):
        raise NotFoundError
    return shop_id


MenuOfShop = Annotated[UUID | None, Depends(_menu_of_shop)]
"""The shop whose menu is wanted, which is one that takes orders; None is the chain's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MenuState:
    """What the application holds for the menu."""

    whole_menu: WholeMenu
    workbooks: WorkbookReader


async def _stock_keeper(shop_id: UUID, actor: StockKeeper) -> Actor:
    if not actor.serves(shop_id):
        raise ForbiddenError("You can change only the shops you work for.")
    return actor


ShopStockKeeper = Annotated[Actor, Depends(_stock_keeper)]
"""Staff of the shop that the path names, who say what it has run out of."""


async def _offer_editor(shop_id: UUID, actor: Person) -> Actor:
    if actor.may(EDIT_MENU):
        return actor
    if not actor.may("stock:write"):
        raise ForbiddenError
    return await _stock_keeper(shop_id, actor)


OfferEditor = Annotated[Actor, Depends(_offer_editor)]
"""Whoever edits the chain's menu, or staff of the shop that the path names."""


async def _menu(request: Request) -> WholeMenu:
    return state_of(request.app, MenuState).whole_menu


TheMenu = Annotated[WholeMenu, Depends(_menu)]


async def _image_upload(
    request: Request, product_id: UUID, tx: Transaction, editor: MenuEditor, now: Now
) -> AsyncIterator[Upload[ImageForm]]:
    await images.check_room(tx, product_id=product_id)
    await admit(request, tx, person_id=editor.user_id, quota=MENU_QUOTA, now=now)
    async with read_upload(request, ImageForm, max_bytes=MAX_BYTES) as upload:
        yield upload


async def _category_image_upload(
    request: Request, category_id: UUID, tx: Transaction, editor: MenuEditor, now: Now
) -> AsyncIterator[Upload[ImageForm]]:
    await queries.get_category(tx, category_id)
    await admit(request, tx, person_id=editor.user_id, quota=MENU_QUOTA, now=now)
    async with read_upload(request, ImageForm, max_bytes=MAX_BYTES) as upload:
        yield upload


CategoryImageUpload = Annotated[Upload[ImageForm], Depends(_category_image_upload, scope="function")]
"""A picture for a category, read once it is known that it may come."""
ImageUpload = Annotated[Upload[ImageForm], Depends(_image_upload, scope="function")]
"""A picture for a product, read once it is known that it may come."""

IMPORT_LIMIT: Final = 2 * 1024 * 1024
"""Bytes of a menu that is imported, as JSON or as a form with a workbook: a thousand products."""


async def _workbooks(request: Request) -> WorkbookReader:
    return state_of(request.app, MenuState).workbooks


Workbooks = Annotated[WorkbookReader, Depends(_workbooks)]


async def _workbook_upload(
    request: Request, tx: Transaction, editor: MenuEditor, now: Now
) -> AsyncIterator[Upload[MenuWorkbookForm]]:
    await admit(request, tx, person_id=editor.user_id, quota=WORKBOOK_QUOTA, now=now)
    async with read_upload(request, MenuWorkbookForm, max_bytes=IMPORT_LIMIT) as upload:
        yield upload


WorkbookUpload = Annotated[Upload[MenuWorkbookForm], Depends(_workbook_upload, scope="function")]
"""A menu as a workbook, read once it is known that it may come."""

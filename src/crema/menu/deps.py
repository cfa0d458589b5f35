"""The dependencies of the menu's routes."""

from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Query, Request

from crema.accounts.deps import MenuEditor, StockKeeper, VerifiedActor
from crema.accounts.domain import Actor
from crema.core.errors import ForbiddenError
from crema.db.listing import Listing, ListQuery
from crema.media.deps import count_upload
from crema.media.domain import MAX_BYTES, MENU_QUOTA, WORKBOOK_QUOTA
from crema.media.service.workbooks import WorkbookReader
from crema.menu import queries
from crema.menu.models import Category, Ingredient, ModifierGroup, Product
from crema.menu.queries import OffersOfShop
from crema.menu.schemas import ImageForm, MenuWorkbookForm
from crema.menu.service import images
from crema.menu.service.offered_products import OfferedProducts, ProductsRequest
from crema.menu.service.offers import AvailabilityRequest
from crema.menu.service.whole_menu import WholeMenu
from crema.schemas import Instant
from crema.shops import queries as shops
from crema.shops.deps import ActorPermissions
from crema.shops.domain import LONGEST_SLOT
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


async def _sees_hidden(permissions: ActorPermissions) -> bool:
    return EDIT_MENU in permissions


SeesHidden = Annotated[bool, Depends(_sees_hidden)]
"""Whether the answer contains inactive categories, products and options."""


def _query(listing: Listing) -> Callable[..., Coroutine[Any, Any, ListQuery]]:
    async def parse(request: Request, permissions: ActorPermissions) -> ListQuery:
        return parse_list_query(request, listing, permissions, extra_parameters=(fields.NAME,))

    return parse


async def _offers_of_shop(
    reader: Reads,
    shop_id: Annotated[UUID | None, Query(description="For a shop's prices and availability.")] = None,
) -> OffersOfShop | None:
    return None if shop_id is None else await queries.get_offers_of_shop(reader, shop_id)


RequestedShop = Annotated[OffersOfShop | None, Depends(_offers_of_shop)]
"""What the shop `shop_id` has different from the chain; None without `shop_id`."""


async def _availability_request(
    reader: Reads,
    now: Now,
    shop_id: Annotated[UUID, Query(description="A shop where one can order.")],
    at: Annotated[Instant | None, Query(description="The time of pick-up; left out: now.")] = None,
    size_id: Annotated[UUID | None, Query(description="A size of the product; left out: any.")] = None,
) -> AvailabilityRequest:
    offers = await queries.get_offers_of_shop(reader, shop_id)
    schedule = await shops.get_work_schedule(reader, shop_id, since=now - LONGEST_SLOT)
    return AvailabilityRequest(offers, schedule, at, size_id, now)


AvailabilityQuery = Annotated[AvailabilityRequest, Depends(_availability_request)]


def _single_category_id(request: Request) -> UUID | None:
    """Return the category whose products are listed; None if there is none, or more than one."""
    ids = request.query_params.getlist("category_id")
    try:
        return UUID(ids[0]) if len(ids) == 1 else None
    except ValueError:  # `parse_list_query` refuses it
        return None


async def _products_request(
    request: Request, permissions: ActorPermissions, shop: RequestedShop, now: Now, *, sees_hidden: SeesHidden
) -> ProductsRequest:
    category_id = _single_category_id(request)
    listing = queries.products_listing(
        sees_hidden=sees_hidden, is_of_category=category_id is not None, is_of_shop=shop is not None
    )
    query = parse_list_query(request, listing, permissions, extra_parameters=(fields.NAME, "shop_id"))
    return ProductsRequest(query, category_id, shop, sees_hidden, now)


ProductsQuery = Annotated[ProductsRequest, Depends(_products_request)]
CategoriesQuery = Annotated[ListQuery, Depends(_query(queries.CATEGORIES))]
IngredientsQuery = Annotated[ListQuery, Depends(_query(queries.INGREDIENTS))]


async def _modifier_groups_query(request: Request, editor: MenuEditor) -> ListQuery:
    return parse_list_query(request, queries.MODIFIER_GROUPS, editor.permissions, extra_parameters=(fields.NAME,))


ModifierGroupsQuery = Annotated[ListQuery, Depends(_modifier_groups_query)]


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
"""Staff of the shop in the path, with the right to change its stop-list."""


async def _offer_editor(shop_id: UUID, actor: VerifiedActor) -> Actor:
    if actor.may(EDIT_MENU):
        return actor
    if not actor.may("stock:write"):
        raise ForbiddenError
    return await _stock_keeper(shop_id, actor)


OfferEditor = Annotated[Actor, Depends(_offer_editor)]
"""Somebody who edits the chain's menu, or staff of the shop in the path."""


async def _menu(request: Request) -> WholeMenu:
    return state_of(request.app, MenuState).whole_menu


TheMenu = Annotated[WholeMenu, Depends(_menu)]


async def _offered_products(menu: TheMenu) -> OfferedProducts:
    return menu.offered


Products = Annotated[OfferedProducts, Depends(_offered_products)]


async def _image_upload(
    request: Request, product_id: UUID, tx: Transaction, editor: MenuEditor, now: Now
) -> AsyncIterator[Upload[ImageForm]]:
    await images.check_room(tx, product_id=product_id)
    await count_upload(request, tx, person_id=editor.user_id, quota=MENU_QUOTA, now=now)
    async with read_upload(request, ImageForm, max_bytes=MAX_BYTES) as upload:
        yield upload


async def _category_image_upload(
    request: Request, category_id: UUID, tx: Transaction, editor: MenuEditor, now: Now
) -> AsyncIterator[Upload[ImageForm]]:
    await queries.get_category(tx, category_id)
    await count_upload(request, tx, person_id=editor.user_id, quota=MENU_QUOTA, now=now)
    async with read_upload(request, ImageForm, max_bytes=MAX_BYTES) as upload:
        yield upload


CategoryImageUpload = Annotated[Upload[ImageForm], Depends(_category_image_upload, scope="function")]
"""A picture for a category. It is read after permission and quota are checked."""
ImageUpload = Annotated[Upload[ImageForm], Depends(_image_upload, scope="function")]
"""A picture for a product. It is read after permission and quota are checked."""

IMPORT_LIMIT: Final = 2 * 1024 * 1024
"""The size in bytes up to which a menu is imported, as JSON or as a form with a workbook: a thousand products."""


async def _workbooks(request: Request) -> WorkbookReader:
    return state_of(request.app, MenuState).workbooks


Workbooks = Annotated[WorkbookReader, Depends(_workbooks)]


async def _workbook_upload(
    request: Request, tx: Transaction, editor: MenuEditor, now: Now
) -> AsyncIterator[Upload[MenuWorkbookForm]]:
    await count_upload(request, tx, person_id=editor.user_id, quota=WORKBOOK_QUOTA, now=now)
    async with read_upload(request, MenuWorkbookForm, max_bytes=IMPORT_LIMIT) as upload:
        yield upload


WorkbookUpload = Annotated[Upload[MenuWorkbookForm], Depends(_workbook_upload, scope="function")]
"""A menu as a workbook. It is read after permission and quota are checked."""

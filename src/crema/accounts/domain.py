"""Roles, permissions, the actor, and rules of passwords, as pure functions and values."""

import unicodedata
from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from uuid import UUID

PERMISSIONS: Final = {
    "mails:write": "See which mails were sent and which were not, and send them again.",
    "menu:write": "Change categories, products, sizes, modifier groups and pictures.",
    "orders:read": "See the orders of one's shops.",
    "orders:write": "Move the orders of one's shops along.",
    "roles:write": "See and change roles and what they allow.",
    "shops:all": "Serve every shop of the chain, not only those one is tied to.",
    "shops:write": "Change shops and their opening hours.",
    "stock:write": "Say what one's shops have run out of, sell and count, and at which prices.",
    "support:write": "Answer customers in the support chat.",
    "users:write": "See and change people.",
}
"""Code → meaning. The rows of the permissions table are these, kept by a migration and checked by a test."""

ALL_SHOPS: Final = "shops:all"
ADMIN: Final = "admin"
CUSTOMER: Final = "user"

BUILTIN_ROLES: Final[dict[str, tuple[str, frozenset[str]]]] = {
    CUSTOMER: ("Orders for themselves.", frozenset()),
    "barista": (
        "Makes and hands over the orders of their shops.",
        frozenset({"orders:read", "orders:write", "stock:write"}),
    ),
    "support": ("Talks to customers of the whole chain.", frozenset({"orders:read", ALL_SHOPS, "support:write"})),
    "manager": (
        "Runs their shops: menu, orders, hours.",
        frozenset({"menu:write", "orders:read", "orders:write", "shops:write", "stock:write", "support:write"}),
    ),
    ADMIN: ("May do everything, in every shop.", frozenset(PERMISSIONS)),
}


Reach: TypeAlias = Literal["own", "shops", "all"]


@dataclass(frozen=True, slots=True)
class Actor:
    """The person who sends a request: loaded for every request, so that blocking or a new role has effect at once.

    `permissions` are the `effective_permissions` of the role; `shop_ids` are the shops the person is tied to.
    """

    user_id: UUID
    session_id: UUID
    role: str
    permissions: frozenset[str]
    shop_ids: frozenset[UUID]
    is_verified: bool = True
    is_first_use: bool = False
    """Whether the access token proves for the first time that the response of the last refresh has arrived."""

    @property
    def is_admin(self) -> bool:
        """Return whether this is an administrator, who serves every shop."""
        return self.role == ADMIN

    def may(self, permission: str) -> bool:
        """Return whether the actor has this permission."""
        return permission in self.permissions

    @property
    def serves_all_shops(self) -> bool:
        """Return whether they work for every shop. That takes a permission: empty `shop_ids` don't mean all shops."""
        return self.may(ALL_SHOPS)

    def reach(self, permission: str) -> Reach:
        """Return whose rows a permission covers: the actor's own, also those of their shops, or all."""
        if not self.may(permission):
            return "own"
        return "all" if self.serves_all_shops else "shops"

    def serves(self, shop_id: UUID) -> bool:
        """Return whether they work for this shop."""
        return self.serves_all_shops or shop_id in self.shop_ids

    def serves_each(self, shop_ids: Iterable[UUID]) -> bool:
        """Return whether they work for all of these shops."""
        return all(map(self.serves, shop_ids))


def effective_permissions(role: str, permissions: Collection[str], *, is_tied: bool) -> frozenset[str]:
    """Return what a person may do: what their role allows, without `shops:all` if they are tied to shops.

    A person stays tied when their last shop is taken away; then they serve none. Administrators are never tied.
    """
    if is_tied and role != ADMIN:
        return frozenset(permissions) - {ALL_SHOPS}
    return frozenset(permissions)


def mailbox_of(email: str) -> str:
    """Return an address in lower case and without its `+tag`: the key by which mails to a mailbox are counted."""
    local, _, host = email.lower().rpartition("@")
    return f"{local.partition('+')[0] or local}@{host}"


_BROWSERS: Final = (
    ("YaBrowser/", "Yandex Browser"),
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("okhttp/", "okhttp"),
    ("curl/", "curl"),
)
_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
)


def device_of(user_agent: str) -> str:
    """Return the browser and the system of a User-Agent, for instance "Firefox, Android"; empty if neither is known.

    Only names of these tables are returned: the header is the sender's own text, and may be mailed to somebody else.
    """
    named = (next((name for mark, name in known if mark in user_agent), None) for known in (_BROWSERS, _SYSTEMS))
    return ", ".join(filter(None, named))


MIN_PASSWORD: Final = 8
MAX_PASSWORD: Final = 128


def normalized(password: str) -> str:
    """Return a password in NFKC, in which its length is measured and its hash is made. All keyboards give the same."""
    return unicodedata.normalize("NFKC", password)


def weakness_of(
    password: str, *, common: Container[str], email: str | None = None, name: str | None = None
) -> str | None:
    """Return why a password is too easy to guess, or None. `common` are the most used passwords, in lower case."""
    guess = "".join(c for c in normalized(password).casefold() if unicodedata.category(c) != "Cf").strip()
    if len(set(guess)) <= 1:
        return "it is one character, repeated"
    if guess in common:
        return "it is one of the passwords that are tried first"
    if email is not None:
        address = normalized(email).casefold()
        if guess in {address, address.rpartition("@")[0], mailbox_of(address), mailbox_of(address).rpartition("@")[0]}:
            return "it is the e-mail address"
    if name is not None and guess == normalized(name).casefold().strip():
        return "it is the name"
    return None

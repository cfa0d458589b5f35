"""Roles, permissions and who someone is, as plain values."""

from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import IPv6Address, ip_address, ip_network
from runpy import run_path
from typing import Final
from uuid import UUID

PERMISSIONS: Final = {
    "mails:write": "See which mails were sent and which were not, and send them again.",
    "menu:write": "Change categories, products, sizes, modifier groups and pictures.",
    "orders:read": "See the orders of one's shops.",
    "orders:write": "Move the orders of one's shops along.",
    "roles:write": "See and change roles and what they allow.",
    "shops:write": "Change shops and their opening hours.",
    "support:write": "Answer customers in the support chat.",
    "users:write": "See and change people.",
}
"""Code → meaning. The rows of the permissions table are these, kept by a migration and checked by a test."""

ADMIN: Final = "admin"
CUSTOMER: Final = "user"

BUILTIN_ROLES: Final[dict[str, tuple[str, frozenset[str]]]] = {
    CUSTOMER: ("Orders for themselves.", frozenset()),
    "barista": ("Makes and hands over the orders of their shops.", frozenset({"orders:read", "orders:write"})),
    "support": ("Talks to customers of the whole chain.", frozenset({"orders:read", "support:write"})),
    "manager": (
        "Runs their shops: menu, orders, hours.",
        frozenset({"menu:write", "orders:read", "orders:write", "shops:write", "support:write"}),
    ),
    ADMIN: ("May do everything, in every shop.", frozenset(PERMISSIONS)),
}


def _common_passwords() -> frozenset[str]:
    """Read zxcvbn's list from its file: imported, the package would keep ten megabytes of tables we don't ask for."""
    package = find_spec("zxcvbn")
    assert package is not None
    assert package.origin is not None
    lists = run_path(package.origin.replace("__init__.py", "frequency_lists.py"))["FREQUENCY_LISTS"]
    return frozenset(lists["passwords"])


COMMON_PASSWORDS: Final = _common_passwords()
"""What attackers try first, in lower case: the 30,000 most used of leaked passwords, as zxcvbn counts them."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is asking: loaded afresh for every request, so that blocking or a new role counts at once."""

    user_id: UUID
    session_id: UUID
    role: str
    permissions: frozenset[str]
    shop_ids: frozenset[UUID]
    is_verified: bool = True

    @property
    def is_admin(self) -> bool:
        """Whether this is an administrator, who isn't tied to shops."""
        return self.role == ADMIN

    def may(self, permission: str) -> bool:
        """Whether the role has this permission."""
        return permission in self.permissions

    @property
    def serves_all_shops(self) -> bool:
        """Administrators do; so does support that is tied to no shop."""
        return self.is_admin or (self.may("support:write") and not self.shop_ids and not self.may("orders:write"))

    def serves(self, shop_id: UUID) -> bool:
        """Whether they work for this shop."""
        return self.serves_all_shops or shop_id in self.shop_ids


def network_of(host: str) -> str:
    """Name the network one person commands: the /24 of an IPv4 address, the /64 of an IPv6 one.

    An IPv4 address may come dressed as an IPv6 one, on a socket that listens to both.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return host[:64]
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return str(ip_network((address, 24 if address.version == 4 else 64), strict=False))  # noqa: PLR2004

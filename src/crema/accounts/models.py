"""Tables of people, their roles, sessions and one-time codes. Secrets are kept only as hashes."""

from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, String, func, select, text
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship, validates
from sqlalchemy.sql import ColumnElement

from crema.accounts.domain import effective_permissions
from crema.core.lookalikes import skeleton
from crema.db.base import Base, Created, Id, Updated, case_folded, trigram_index


class Permission(Base):
    """A permission that roles may have. Migrations write the rows, because routes name them in code."""

    __tablename__ = "permissions"

    code: Mapped[str] = mapped_column(primary_key=True)
    description: Mapped[str]


class RolePermission(Base):
    """Link between a role and its permissions."""

    __tablename__ = "role_permissions"

    role_id: Mapped[UUID] = mapped_column(ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True)
    permission_code: Mapped[str] = mapped_column(
        ForeignKey("permissions.code", ondelete="CASCADE"), primary_key=True, index=True
    )


class Role(Base):
    """A named set of permissions. Built-in roles can't be deleted or renamed."""

    __tablename__ = "roles"
    __table_args__ = (CheckConstraint("name <> ''", "name"),)

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(String(60), unique=True)
    name_skeleton: Mapped[str] = mapped_column(unique=True)
    """The name with look-alike letters made equal, so that no two roles look the same. Written with the name."""
    description: Mapped[str] = mapped_column(server_default="")
    is_builtin: Mapped[bool] = mapped_column(server_default="false")
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]

    permissions: Mapped[list[Permission]] = relationship(
        secondary="role_permissions", order_by="Permission.code", lazy="raise"
    )

    @validates("name")
    def _write_skeleton(self, _: str, name: str) -> str:
        if name != self.name:
            self.name_skeleton = skeleton(name)
        return name

    @property
    def permission_codes(self) -> list[str]:
        """The codes of the role's permissions."""
        return [permission.code for permission in self.permissions]


Index("ix_roles_created_at_id", Role.created_at, Role.id)
Index("ix_roles_updated_at_id", Role.updated_at, Role.id)
Index("ix_roles_is_builtin", Role.is_builtin, Role.id)
Index("ix_roles_name_folded", case_folded(Role.name), Role.id)
Index("ix_roles_description_folded", case_folded(Role.description), Role.id)
trigram_index("ix_roles_name_trgm", Role.name)
trigram_index("ix_roles_description_trgm", Role.description)


class StaffShop(Base):
    """Link between a member of staff and the shops they work for."""

    __tablename__ = "staff_shops"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True, index=True)


class User(Base):
    """A person. The row of a deleted person stays without personal data, because their orders point to it.

    An unverified person has no password, and the name and phone of the first registration. Each registration attempt
    keeps its own name, phone and password with its code; verification copies those of the attempt whose code was
    entered. The clean-up does not delete the person before `kept_until`, while the last mailed code is valid.

    `is_tied`: the person serves only the shops they are tied to, also when none is left; their role then doesn't give
    them `shops:all`. What a deleted person wrote is erased some time after `deleted_at`, at `erased_at`.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("deleted_at IS NOT NULL OR email IS NOT NULL", "email_unless_deleted"),
        CheckConstraint(
            "deleted_at IS NULL OR (email IS NULL AND name IS NULL AND phone IS NULL AND password_hash IS NULL)",
            "tombstone_is_empty",
        ),
    )

    id: Mapped[Id]
    email: Mapped[str | None] = mapped_column(String(254))
    name: Mapped[str | None] = mapped_column(String(120))
    phone: Mapped[str | None] = mapped_column(String(20))
    password_hash: Mapped[str | None]
    role_id: Mapped[UUID] = mapped_column(ForeignKey("roles.id", ondelete="RESTRICT"))
    language: Mapped[str] = mapped_column(String(2), server_default="en")
    is_active: Mapped[bool] = mapped_column(server_default="true")
    is_tied: Mapped[bool] = mapped_column(server_default="false")
    verified_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    erased_at: Mapped[datetime | None]
    kept_until: Mapped[datetime | None]
    created_at: Mapped[Created]
    updated_at: Mapped[Updated]

    role: Mapped[Role] = relationship(lazy="raise")
    staff_shops: Mapped[list[StaffShop]] = relationship(
        lazy="raise", order_by="StaffShop.shop_id", cascade="all, delete-orphan", passive_deletes=True
    )

    if TYPE_CHECKING:
        pending_email: Mapped[str | None]

    @hybrid_property
    def is_verified(self) -> bool:
        """Whether the person has proved that the e-mail address is theirs."""
        return self.verified_at is not None

    @is_verified.inplace.expression
    @classmethod
    def _is_verified(cls) -> ColumnElement[bool]:
        return cls.verified_at.is_not(None)

    @property
    def role_name(self) -> str:
        """The name of the role."""
        return self.role.name

    @property
    def permissions(self) -> list[str]:
        """The effective permissions: those of the role, without `shops:all` for a person tied to shops."""
        is_tied = self.is_tied or bool(self.staff_shops)
        return sorted(effective_permissions(self.role.name, self.role.permission_codes, is_tied=is_tied))

    @property
    def shop_ids(self) -> list[UUID]:
        """The shops the person is tied to."""
        return [link.shop_id for link in self.staff_shops]


Index("uq_users_email_lower", func.lower(User.email), unique=True)
Index("ix_users_unverified", User.created_at, User.id, postgresql_where=User.verified_at.is_(None))
Index(
    "ix_users_to_erase",
    User.deleted_at,
    postgresql_where=User.deleted_at.is_not(None) & User.erased_at.is_(None),
)
Index("ix_users_role_id_id", User.role_id, User.id)
Index("ix_users_is_active", User.is_active, User.created_at, User.id)
Index("ix_users_created_at_id", User.created_at, User.id)
Index("ix_users_updated_at_id", User.updated_at, User.id)
Index("ix_users_phone_folded", case_folded(User.phone))
Index("ix_users_email_folded", case_folded(User.email), User.id)
Index("ix_users_name_folded", case_folded(User.name), User.id)
Index("ix_users_name_sort", case_folded(func.coalesce(User.name, "")), User.id)
trigram_index("ix_users_email_trgm", User.email)
trigram_index("ix_users_name_trgm", User.name)
trigram_index("ix_users_phone_trgm", User.phone)


class OneTimeCode(Base):
    """A code sent by mail, and what it confirms.

    For a registration that is one attempt with its own name, phone and password, so that nobody can set a password
    for somebody else's address. For a change of address it is the new address and the login that asked for it.

    The code is computed from `id` and `nonce` with a key that isn't in the database, see `service.codes`. A used code
    stays, without personal data, until `expires_at`, so that the same request sent twice gets the same response.
    """

    __tablename__ = "one_time_codes"
    __table_args__ = (
        CheckConstraint("purpose IN ('registration', 'password_reset', 'email_change')", "purpose"),
        Index("ix_one_time_codes_user_id_purpose", "user_id", "purpose"),
    )

    id: Mapped[Id]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[str]
    nonce: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime]
    spent_at: Mapped[datetime | None]
    created_at: Mapped[Created]
    name: Mapped[str | None] = mapped_column(String(120))
    phone: Mapped[str | None] = mapped_column(String(20))
    password_hash: Mapped[str | None]
    language: Mapped[str | None] = mapped_column(String(2))
    new_email: Mapped[str | None] = mapped_column(String(254))
    session_id: Mapped[UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="SET NULL"), index=True)


Index(
    "ix_one_time_codes_new_email_lower",
    func.lower(OneTimeCode.new_email),
    postgresql_where=OneTimeCode.new_email.is_not(None),
)
ONE_AT_A_TIME: Final = text("purpose <> 'registration' AND spent_at IS NULL")
"""A person has at most one code for a new password and one for a new address, but several for registrations."""
Index(
    "uq_one_time_codes_user_id_purpose",
    OneTimeCode.user_id,
    OneTimeCode.purpose,
    unique=True,
    postgresql_where=ONE_AT_A_TIME,
)

User.pending_email = column_property(
    select(OneTimeCode.new_email)
    .where(OneTimeCode.user_id == User.id, OneTimeCode.purpose == "email_change", OneTimeCode.spent_at.is_(None))
    .correlate_except(OneTimeCode)
    .scalar_subquery(),
    expire_on_flush=False,
)


class Session(Base):
    """One login on one device. Access tokens name it, so that they stop working as soon as it is ended."""

    __tablename__ = "sessions"

    id: Mapped[Id]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    user_agent: Mapped[str] = mapped_column(String(300), server_default="")
    network: Mapped[str] = mapped_column(String(64), server_default="")
    created_at: Mapped[Created]
    last_used_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None] = mapped_column(String(40))
    unused_pair: Mapped[str | None] = mapped_column(String(16))
    """The pair of tokens that the last refresh issued, until one of the two is used."""


OVER_AT: Final = func.least(Session.ended_at, Session.expires_at)
"""When a login ended or will end. `least` ignores NULL."""
Index("ix_sessions_over_at", OVER_AT)
Index("ix_sessions_user_id_not_ended", Session.user_id, postgresql_where=Session.ended_at.is_(None))


class RefreshToken(Base):
    """One of the successive refresh tokens of a session. At most one of a session is unused."""

    __tablename__ = "refresh_tokens"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[Created]
    used_at: Mapped[datetime | None]


Index("uq_refresh_tokens_live", RefreshToken.session_id, unique=True, postgresql_where=RefreshToken.used_at.is_(None))


class Throttle(Base):
    """How often something was tried in the present window. One row a key; see `accounts.service.throttle`."""

    __tablename__ = "throttles"

    key: Mapped[str] = mapped_column(primary_key=True)
    hits: Mapped[int]
    window_ends_at: Mapped[datetime] = mapped_column(index=True)

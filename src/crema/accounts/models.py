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
from crema.db.base import Base, Created, Id, Updated, fold, trigrams


class Permission(Base):
    """Something a role may allow. The rows are ours: routes name them in code."""

    __tablename__ = "permissions"

    code: Mapped[str] = mapped_column(primary_key=True)
    description: Mapped[str]


class RolePermission(Base):
    """Link: which permissions a role has."""

    __tablename__ = "role_permissions"

    role_id: Mapped[UUID] = mapped_column(ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True)
    permission_code: Mapped[str] = mapped_column(
        ForeignKey("permissions.code", ondelete="CASCADE"), primary_key=True, index=True
    )


class Role(Base):
    """A named set of permissions; the built-in ones can't be deleted or renamed."""

    __tablename__ = "roles"
    __table_args__ = (CheckConstraint("name <> ''", "name"),)

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(String(60), unique=True)
    name_skeleton: Mapped[str] = mapped_column(unique=True)
    """The name as people read it, so that no role passes for another. Written with the name."""
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
        """What the role allows."""
        return [permission.code for permission in self.permissions]


Index("ix_roles_created_at_id", Role.created_at, Role.id)
Index("ix_roles_updated_at_id", Role.updated_at, Role.id)
Index("ix_roles_is_builtin", Role.is_builtin, Role.id)
Index("ix_roles_name_folded", fold(Role.name), Role.id)
Index("ix_roles_description_folded", fold(Role.description), Role.id)
trigrams("ix_roles_name_trgm", Role.name)
trigrams("ix_roles_description_trgm", Role.description)


class StaffShop(Base):
    """Link: the shops a member of staff works for."""

    __tablename__ = "staff_shops"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    shop_id: Mapped[UUID] = mapped_column(ForeignKey("shops.id", ondelete="CASCADE"), primary_key=True, index=True)


class User(Base):
    """A person. Deleted ones stay as a tombstone without personal data, because their orders stay.

    Until verified they have no password, and the name and phone of who registered the address first: what each attempt
    wrote is with its code, and verification writes what the attempt wrote whose code was entered. The clean-up leaves
    them alone until `kept_until`, while the code that was last mailed lives.

    `is_tied`: they serve the shops they are tied to and no others, also when those are none any more; it takes
    `shops:all` from what their role allows. What a deleted person wrote is erased some time after `deleted_at`;
    `erased_at` is when that was done.
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
        """Whether the e-mail address was proved to be theirs."""
        return self.verified_at is not None

    @is_verified.inplace.expression
    @classmethod
    def _is_verified(cls) -> ColumnElement[bool]:
        return cls.verified_at.is_not(None)

    @property
    def role_name(self) -> str:
        """What the role is called."""
        return self.role.name

    @property
    def permissions(self) -> list[str]:
        """What they may do, which is what their role allows unless they are tied to shops."""
        is_tied = self.is_tied or bool(self.staff_shops)
        return sorted(effective_permissions(self.role.name, self.role.permission_codes, is_tied=is_tied))

    @property
    def shop_ids(self) -> list[UUID]:
        """Shops this member of staff works for."""
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
Index("ix_users_phone_folded", fold(User.phone))
Index("ix_users_email_folded", fold(User.email), User.id)
Index("ix_users_name_folded", fold(User.name), User.id)
Index("ix_users_name_sort", fold(func.coalesce(User.name, "")), User.id)
trigrams("ix_users_email_trgm", User.email)
trigrams("ix_users_name_trgm", User.name)
trigrams("ix_users_phone_trgm", User.phone)


class OneTimeCode(Base):
    """What a six-digit code that goes by mail will confirm.

    For a registration it is one attempt, with its own name, phone and password: nobody can plant a password on
    someone else's address. For a change of address it is the address that is asked for, and the login that asked.

    The code is computed from `id` and `nonce` with a key that isn't in the database, see `service.codes`. A spent one
    stays, without personal data, until `expires_at`: the same code sent twice gets the same answer.
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
"""A person has one code for a new password and one for a new address; of registrations there may be several."""
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
    """One login on one device. Access tokens name it, so that ending it counts at the next request."""

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
    """The tokens that the last refresh gave, as long as nobody has used either of them."""


OVER_AT: Final = func.least(Session.ended_at, Session.expires_at)
"""When a login was over or will be. `least` passes over what is NULL."""
Index("ix_sessions_over_at", OVER_AT)
Index("ix_sessions_user_id_not_ended", Session.user_id, postgresql_where=Session.ended_at.is_(None))


class RefreshToken(Base):
    """A link in a session's chain of refresh tokens; at most one of a session is live."""

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

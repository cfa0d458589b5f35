"""JSON of people, sessions and roles."""

import unicodedata
from typing import Annotated, Final, Literal, Self
from uuid import UUID

from pydantic import MISSING, AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints

from crema.accounts.domain import MAX_PASSWORD, MIN_PASSWORD, PERMISSIONS, normalized
from crema.schemas import Email, Flag, Input, Instant, Line, Matching, Name, Output, Phone, Replacement, Text, unique

_LONGEST: Final = 1024
"""Characters of a password as it is sent: letters may come in pieces that are one after normalization."""


def _normalized(password: object) -> object:
    """Measure what is hashed, not how a keyboard spells it."""
    return normalized(password) if isinstance(password, str) and len(password) <= _LONGEST else password


def _short_enough(password: str) -> str:
    """Take what was taken once: passwords were measured in NFC before."""
    if min(len(normalized(password)), len(unicodedata.normalize("NFC", password))) > MAX_PASSWORD:
        raise ValueError(f"a password has up to {MAX_PASSWORD} characters")
    return password


def _without_spaces(code: object) -> object:
    """Take a code as people type it: `123 456`, with a space behind, or a long one in small letters."""
    return "".join(code.split()).replace("-", "").upper() if isinstance(code, str) else code


EnteredPassword = Annotated[str, StringConstraints(max_length=_LONGEST), AfterValidator(_short_enough)]
"""What is compared with a password: rules for new ones must not lock anybody out."""
Password = Annotated[
    str,
    StringConstraints(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD),
    Matching(r"^[^\x00-\x1f\x7f]*$", "send a password without control characters"),
    BeforeValidator(_normalized),
    Field(
        description="Not the address, its local part, the name, one repeated character, or one of the most used.",
        examples=["oat milk please"],
    ),
]
Code = Annotated[
    str,
    Matching(r"^([0-9]{6}|[A-Z2-7]{16})$", "send the six digits of the mail, or its long code"),
    BeforeValidator(_without_spaces),
    Field(
        description="Six digits, or the long code of the same mail, which is taken however often others have guessed;"
        " spaces and hyphens are fine.",
        examples=["042137"],
    ),
]
RegistrationId = Annotated[
    str,
    Field(
        max_length=100,
        description="From the answer to `POST /registration`: only the attempt that it stands for is meant.",
        examples=["AZrfEjRWeJCrze8BI0VniYtVJYVW4w0r0cKcD7oJz-w"],
    ),
]
Address = Annotated[Email, Field(examples=["anna@example.com"])]


def _known(codes: list[str]) -> list[str]:
    if wrong := sorted(set(codes) - PERMISSIONS.keys()):
        raise ValueError(f"no such permission: {', '.join(wrong)}; there are {', '.join(PERMISSIONS)}")
    return codes


def _known_code(code: str) -> str:
    return _known([code])[0]


PermissionCode = Annotated[str, AfterValidator(_known_code)]
Permissions = Annotated[
    list[str], AfterValidator(unique), AfterValidator(_known), Field(max_length=50, examples=[["orders:read"]])
]


class Register(Input):
    """Who one is. Roles are given, not taken."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "anna@example.com", "password": "oat milk please", "name": "Анна"}]}
    )

    email: Address
    password: Password
    name: Name | None = None
    phone: Phone | None = None


class Verify(Input):
    """The code that came by mail, and which of several attempts it is for.

    The code is enough where the address was registered once. For a change of address `password` is the account's.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "anna@example.com", "code": "042137"}]})

    email: Address
    code: Code
    registration_id: RegistrationId | None = None
    password: EnteredPassword | None = None

    @property
    def is_proved(self) -> bool:
        """Whether it says which attempt is meant."""
        return self.registration_id is not None or self.password is not None


class Resend(Input):
    """An address, and the attempt whose code is to be sent again: the first one by default."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "anna@example.com"}]})

    email: Address
    registration_id: RegistrationId | None = None
    password: EnteredPassword | None = None


class Mention(Input):
    """An address, to send something to."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "anna@example.com"}]})

    email: Address


class LogIn(Input):
    """What one logs in with."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "anna@example.com", "password": "oat milk please"}]}
    )

    email: Address
    password: EnteredPassword


class LogInForm(Input):
    """The form of the OAuth2 password flow. Clients are not told apart."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"username": "anna@example.com", "password": "oat milk please"}]}
    )

    grant_type: Annotated[str, Matching("^password$", "send password")] = "password"
    username: Annotated[Email, Field(description="The e-mail address.", examples=["anna@example.com"])]
    password: EnteredPassword
    scope: str = ""
    client_id: str | None = None
    client_secret: str | None = None


RefreshTokenText = Annotated[str, Field(min_length=1, max_length=4096)]


class Refresh(Input):
    """The refresh token of the last answer."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"refresh_token": "kq0m2Zr9c7o3b1y8t5h4w6e2n0a9s8d7f6g5j4k3l2z"}]}
    )

    refresh_token: RefreshTokenText


class LogOut(Input):
    """Whose login is to end, for clients that have no access token any more."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"refresh_token": "kq0m2Zr9c7o3b1y8t5h4w6e2n0a9s8d7f6g5j4k3l2z"}]}
    )

    refresh_token: RefreshTokenText | None = None


Mode = Literal["token", "cookie"]
"""Where a login's tokens go: into the answer, or into cookies."""


class ResetPassword(Input):
    """The code that came by mail, and the password to be."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"email": "anna@example.com", "code": "042137", "new_password": "flat white please"}]
        }
    )

    email: Address
    code: Code
    new_password: Password


class ChangePassword(Input):
    """The old password, and the new one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"old_password": "oat milk please", "new_password": "flat white please"}]}
    )

    old_password: EnteredPassword
    new_password: Password


NewEmail = Annotated[Email, Field(description="Counts once it is verified.", examples=["anna@example.com"])]
CurrentPassword = Annotated[EnteredPassword, Field(description="Needed with a new `email` for oneself.")]
RoleName = Annotated[Line, Field(max_length=60, description="Only by an administrator.", examples=["barista"])]
IsActiveUser = Annotated[Flag, Field(description="Only by an administrator.")]
ShopIds = Annotated[
    list[UUID],
    Field(
        max_length=200,
        description="Only by an administrator. Ties the person to these shops; an empty list, to none.",
    ),
    AfterValidator(unique),
]
ServesAllShops = Annotated[
    Flag,
    Field(
        description="Only by an administrator. `true` unties a person whose role has `shops:all`: they serve every"
        " shop. `false` leaves them the shops of `shop_ids`.",
    ),
]


class UserFields(Input):
    """What may be written of a person."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Анна", "phone": "+79161234567"}]})

    name: Name | MISSING | None = MISSING
    phone: Phone | MISSING | None = MISSING
    email: NewEmail | MISSING = MISSING
    current_password: CurrentPassword | MISSING = MISSING
    role: RoleName | MISSING = MISSING
    is_active: IsActiveUser | MISSING = MISSING
    shop_ids: ShopIds | MISSING = MISSING
    serves_all_shops: ServesAllShops | MISSING = MISSING


class ChangeUser(UserFields):
    """Only what is sent changes."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Анна"}, {"role": "barista"}]})


class UserOut(Output):
    """A person."""

    id: UUID
    email: str
    name: str | None
    phone: str | None
    role: str = Field(validation_alias="role_name", examples=["user"])
    permissions: list[str] = Field(description="The role's, without `shops:all` for somebody tied to shops.")
    shop_ids: list[UUID] = Field(description="The shops they are tied to.")
    is_verified: bool
    is_active: bool
    pending_email: str | None = Field(description="The address that was asked for and isn't verified yet.")
    created_at: Instant
    updated_at: Instant


class ReplaceUser(UserFields, Replacement):
    """A person as a PUT sends them. A name or phone left out is emptied; the rest, never empty, stays."""

    shows = UserOut
    follows = frozenset({"updated_at", "pending_email"})


class RegisteredOut(UserOut):
    """An unverified person, and what stands for this attempt to register."""

    registration_id: str = Field(
        description="Only this answer has it. Send it with the code, and to have the code sent again.",
        examples=["AZrfEjRWeJCrze8BI0VniYtVJYVW4w0r0cKcD7oJz-w"],
    )

    @classmethod
    def of(cls, user: object, *, name: str | None, phone: str | None, registration_id: str) -> Self:
        """Render an attempt with its own name and telephone, which are nobody's until it is verified."""
        shown = UserOut.model_validate(user).model_copy(update={"name": name, "phone": phone})
        return cls(**shown.model_dump(), role_name=shown.role, registration_id=registration_id)


class TokensOut(Output):
    """A login. The refresh token is spent by `POST /refresh`, which gives the next."""

    access_token: str
    refresh_token: str
    token_type: str = "bearer"  # noqa: S105 - a word of OAuth2
    expires_in: int = Field(description="Seconds the access token is good for.", examples=[600])
    user: UserOut


class SignedInOut(Output):
    """A login whose tokens are in cookies."""

    user: UserOut


class AcceptedOut(Output):
    """The same answer for every address, known or not."""

    detail: str = Field(examples=["If this address is ours, a mail is on its way."])


class SessionOut(Output):
    """A login on one device."""

    id: UUID
    user_agent: str
    network: str
    created_at: Instant
    last_used_at: Instant
    expires_at: Instant
    is_current: bool = False

    @classmethod
    def of(cls, login: object, *, current: UUID) -> Self:
        """Render a login, and whether it is the one that asks."""
        shown = cls.model_validate(login)
        return shown.model_copy(update={"is_current": shown.id == current})


class PermissionOut(Output):
    """Something a role may allow."""

    code: str
    description: str


NewRoleName = Annotated[Name, Field(max_length=60)]
RoleDescription = Annotated[Text, Field(max_length=300)]


class RoleIn(Input):
    """A named set of permissions."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "trainee", "description": "Looks, doesn't touch.", "permissions": ["orders:read"]}]
        }
    )

    name: NewRoleName
    description: RoleDescription = ""
    permissions: Permissions = Field(default_factory=list)


class ChangeRole(Input):
    """Only what is sent changes."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"permissions": ["orders:read", "orders:write"]}]})

    name: NewRoleName | MISSING = MISSING
    description: RoleDescription | MISSING = MISSING
    permissions: Permissions | MISSING = MISSING


class RoleOut(Output):
    """A role and what it allows."""

    id: UUID
    name: str
    description: str
    is_builtin: bool
    permissions: list[str] = Field(validation_alias="permission_codes")
    created_at: Instant
    updated_at: Instant


class ReplaceRole(RoleIn, Replacement):
    """A role as a PUT sends it."""

    shows = RoleOut


class MailOut(Output):
    """A mail and what became of it, without what it says."""

    id: UUID
    recipient: str = Field(examples=["anna@example.com"])
    template: str = Field(examples=["order_ready"])
    language: str = Field(examples=["ru"])
    status: Literal["queued", "sent", "failed", "expired"] = Field(
        description="`failed`: not taken; `expired`: not sent in the time it is worth sending."
    )
    tries: int = Field(description="Since it was queued, last.")
    last_error: str | None = Field(description="What the mail server said.", examples=["451 4.3.2 Try again later"])
    created_at: Instant
    next_try_at: Instant | None = Field(description="Null at first: at once.")
    expires_at: Instant = Field(description="When it is given up, if it is queued.")
    sent_at: Instant | None
    failed_at: Instant | None

"""JSON of people, logins, roles and mails."""

import unicodedata
from typing import Annotated, Final, Literal, Self
from uuid import UUID

from pydantic import MISSING, AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints

from crema.accounts.domain import MAX_PASSWORD, MIN_PASSWORD, PERMISSIONS, normalized
from crema.schemas import (
    Email,
    Flag,
    Input,
    Instant,
    Line,
    MatchesPattern,
    Name,
    Output,
    Phone,
    Replacement,
    Text,
    require_unique,
)

_MAX_CHARACTERS: Final = 1024
"""Characters of a password as it is sent. Normalization may join several characters to one."""


def _normalize(password: object) -> object:
    """Return the password in the form that is hashed, so that its length is measured in that form."""
    return normalized(password) if isinstance(password, str) and len(password) <= _MAX_CHARACTERS else password


def _check_length(password: str) -> str:
    """Refuse a password that is too long in NFKC and in NFC, in which lengths were measured before."""
    if min(len(normalized(password)), len(unicodedata.normalize("NFC", password))) > MAX_PASSWORD:
        raise ValueError(f"a password has up to {MAX_PASSWORD} characters")
    return password


def _strip_separators(code: object) -> object:
    """Return a code without spaces and hyphens, in capitals: people type `123 456`, or a long code in small letters."""
    return "".join(code.split()).replace("-", "").upper() if isinstance(code, str) else code


EnteredPassword = Annotated[str, StringConstraints(max_length=_MAX_CHARACTERS), AfterValidator(_check_length)]
"""An existing password. The rules for new passwords don't apply: they would lock people out."""
Password = Annotated[
    str,
    StringConstraints(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD),
    MatchesPattern(r"^[^\x00-\x1f\x7f]*$", "send a password without control characters"),
    BeforeValidator(_normalize),
    Field(
        description="Not the e-mail address, its local part, the name, one repeated character, or a common password.",
        examples=["oat milk please"],
    ),
]
Code = Annotated[
    str,
    MatchesPattern(r"^([0-9]{6}|[A-Z2-7]{16})$", "send the six digits of the mail, or its long code"),
    BeforeValidator(_strip_separators),
    Field(
        description="The six digits of the mail, or its long code, which is accepted however often others have guessed."
        " Spaces and hyphens are ignored.",
        examples=["042137"],
    ),
]
RegistrationId = Annotated[
    str,
    Field(
        max_length=100,
        description="From the response of `POST /registration`: names that registration.",
        examples=["AZrfEjRWeJCrze8BI0VniYtVJYVW4w0r0cKcD7oJz-w"],
    ),
]
EmailAddress = Annotated[Email, Field(examples=["anna@example.com"])]


def _check_permissions(codes: list[str]) -> list[str]:
    if wrong := sorted(set(codes) - PERMISSIONS.keys()):
        raise ValueError(f"no such permission: {', '.join(wrong)}; there are {', '.join(PERMISSIONS)}")
    return codes


def _check_permission(code: str) -> str:
    return _check_permissions([code])[0]


PermissionCode = Annotated[str, AfterValidator(_check_permission)]
Permissions = Annotated[
    list[str],
    AfterValidator(require_unique),
    AfterValidator(_check_permissions),
    Field(max_length=50, examples=[["orders:read"]]),
]


class Register(Input):
    """What a person sends to register. A role can't be sent."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "anna@example.com", "password": "oat milk please", "name": "Анна"}]}
    )

    email: EmailAddress
    password: Password
    name: Name | None = None
    phone: Phone | None = None


class Verify(Input):
    """The code of the mail, and which of several registrations it confirms.

    The code is enough if the address was registered once. For a change of address `password` is that of the account.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "anna@example.com", "code": "042137"}]})

    email: EmailAddress
    code: Code
    registration_id: RegistrationId | None = None
    password: EnteredPassword | None = None

    @property
    def names_attempt(self) -> bool:
        """Return whether the request says which registration it means."""
        return self.registration_id is not None or self.password is not None


class Resend(Input):
    """An e-mail address, and the registration whose code is sent again: by default the first one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "anna@example.com"}]})

    email: EmailAddress
    registration_id: RegistrationId | None = None
    password: EnteredPassword | None = None


class Mention(Input):
    """An e-mail address."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "anna@example.com"}]})

    email: EmailAddress


class LogIn(Input):
    """E-mail address and password."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "anna@example.com", "password": "oat milk please"}]}
    )

    email: EmailAddress
    password: EnteredPassword


class LogInForm(Input):
    """The form of the OAuth2 password flow. `client_id` and `client_secret` are ignored."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"username": "anna@example.com", "password": "oat milk please"}]}
    )

    grant_type: Annotated[str, MatchesPattern("^password$", "send password")] = "password"
    username: Annotated[Email, Field(description="The e-mail address.", examples=["anna@example.com"])]
    password: EnteredPassword
    scope: str = ""
    client_id: str | None = None
    client_secret: str | None = None


RefreshTokenText = Annotated[str, Field(min_length=1, max_length=4096)]


class Refresh(Input):
    """The refresh token of the last response."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"refresh_token": "kq0m2Zr9c7o3b1y8t5h4w6e2n0a9s8d7f6g5j4k3l2z"}]}
    )

    refresh_token: RefreshTokenText


class LogOut(Input):
    """The login to end, for clients that have no access token any more."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"refresh_token": "kq0m2Zr9c7o3b1y8t5h4w6e2n0a9s8d7f6g5j4k3l2z"}]}
    )

    refresh_token: RefreshTokenText | None = None


TokenMode = Literal["token", "cookie"]
"""Where a login's tokens are sent: in the body, or in cookies."""


class ResetPassword(Input):
    """The code of the mail, and the new password."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"email": "anna@example.com", "code": "042137", "new_password": "flat white please"}]
        }
    )

    email: EmailAddress
    code: Code
    new_password: Password


class ChangePassword(Input):
    """The old password and the new one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"old_password": "oat milk please", "new_password": "flat white please"}]}
    )

    old_password: EnteredPassword
    new_password: Password


NewEmail = Annotated[Email, Field(description="Takes effect once it is verified.", examples=["anna@example.com"])]
CurrentPassword = Annotated[
    EnteredPassword, Field(description="Required with a new `email`: the password of whoever sends the request.")
]
RoleName = Annotated[Line, Field(max_length=60, description="Only for administrators.", examples=["barista"])]
IsActiveUser = Annotated[Flag, Field(description="Only for administrators.")]
ShopIds = Annotated[
    list[UUID],
    Field(
        max_length=200,
        description="Only for administrators. Ties the person to these shops; an empty list ties them to none.",
    ),
    AfterValidator(require_unique),
]
ServesAllShops = Annotated[
    Flag,
    Field(
        description="Only for administrators. `true` removes all ties of a person whose role has `shops:all`, so that"
        " they serve every shop. `false` leaves them the shops of `shop_ids`.",
    ),
]


class UserFields(Input):
    """The fields of a person that can be changed."""

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
    """Changes only the fields that are sent."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Анна"}, {"role": "barista"}]})


class UserOut(Output):
    """A person."""

    id: UUID
    email: str
    name: str | None
    phone: str | None
    role: str = Field(validation_alias="role_name", examples=["user"])
    permissions: list[str] = Field(description="Those of the role, without `shops:all` for a person tied to shops.")
    shop_ids: list[UUID] = Field(description="The shops the person is tied to.")
    is_verified: bool
    is_active: bool
    pending_email: str | None = Field(description="The new address, while it isn't verified yet.")
    created_at: Instant
    updated_at: Instant


class ReplaceUser(UserFields, Replacement):
    """A person as PUT sends them. A missing `name` or `phone` becomes null; other missing fields stay."""

    shows = UserOut
    ignored = frozenset({"updated_at", "pending_email"})


class RegisteredOut(UserOut):
    """An unverified person, and the secret that names this registration."""

    registration_id: str = Field(
        description="Only this response has it. Send it with the code, and to get the code again.",
        examples=["AZrfEjRWeJCrze8BI0VniYtVJYVW4w0r0cKcD7oJz-w"],
    )

    @classmethod
    def of(cls, user: object, *, name: str | None, phone: str | None, registration_id: str) -> Self:
        """Return the response to a registration: the person, with the name and phone of this registration."""
        shown = UserOut.model_validate(user).model_copy(update={"name": name, "phone": phone})
        return cls(**shown.model_dump(), role_name=shown.role, registration_id=registration_id)


class TokensOut(Output):
    """A login. `POST /refresh` uses the refresh token up and returns the next pair."""

    access_token: str
    refresh_token: str
    token_type: str = "bearer"  # noqa: S105 - a word of OAuth2
    expires_in: int = Field(description="Seconds for which the access token is valid.", examples=[600])
    user: UserOut


class SignedInOut(Output):
    """A login whose tokens were set as cookies."""

    user: UserOut


class AcceptedOut(Output):
    """The same response for every address, with an account or without."""

    detail: str = Field(examples=["If this address has an account, a mail is on its way."])


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
        """Return the JSON of a login. `current` is the id of the login that sends the request."""
        shown = cls.model_validate(login)
        return shown.model_copy(update={"is_current": shown.id == current})


class PermissionOut(Output):
    """A permission that roles may have."""

    code: str
    description: str


NewRoleName = Annotated[Name, Field(max_length=60)]
RoleDescription = Annotated[Text, Field(max_length=300)]


class RoleIn(Input):
    """A named set of permissions."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "trainee", "description": "Sees orders, changes nothing.", "permissions": ["orders:read"]}
            ]
        }
    )

    name: NewRoleName
    description: RoleDescription = ""
    permissions: Permissions = Field(default_factory=list)


class ChangeRole(Input):
    """Changes only the fields that are sent."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"permissions": ["orders:read", "orders:write"]}]})

    name: NewRoleName | MISSING = MISSING
    description: RoleDescription | MISSING = MISSING
    permissions: Permissions | MISSING = MISSING


class RoleOut(Output):
    """A role and its permissions."""

    id: UUID
    name: str
    description: str
    is_builtin: bool
    permissions: list[str] = Field(validation_alias="permission_codes")
    created_at: Instant
    updated_at: Instant


class ReplaceRole(RoleIn, Replacement):
    """A role as PUT sends it."""

    shows = RoleOut


class MailOut(Output):
    """A mail and its delivery, without its text."""

    id: UUID
    recipient: str = Field(examples=["anna@example.com"])
    template: str = Field(examples=["order_ready"])
    language: str = Field(examples=["ru"])
    status: Literal["queued", "sent", "failed", "expired"] = Field(
        description="`failed`: the mail server refused it. `expired`: it could not be sent in time."
    )
    tries: int = Field(description="Tries since the mail was last queued.")
    last_error: str | None = Field(
        description="The last reply of the mail server.", examples=["451 4.3.2 Try again later"]
    )
    created_at: Instant
    next_try_at: Instant | None = Field(description="Null before the first try, which is made at once.")
    expires_at: Instant = Field(description="When a queued mail is given up.")
    sent_at: Instant | None
    failed_at: Instant | None

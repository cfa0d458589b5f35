"""JSON of people, sessions and roles."""

import unicodedata
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from crema.accounts.domain import COMMON_PASSWORDS, PERMISSIONS
from crema.schemas import Email, Input, Instant, Name, Output, Phone, Replacement, Text, partial, unique


def _composed(password: str) -> str:
    """Make the letters one typed the same on every keyboard."""
    return unicodedata.normalize("NFC", password)


def _uncommon(password: str) -> str:
    if password.lower() in COMMON_PASSWORDS:
        raise ValueError("this is one of the passwords that are tried first")
    return password


EnteredPassword = Annotated[str, StringConstraints(max_length=128), AfterValidator(_composed)]
"""What is compared with a password: rules for new ones must not lock anybody out."""
Password = Annotated[
    str,
    StringConstraints(min_length=8, max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$"),
    AfterValidator(_composed),
    AfterValidator(_uncommon),
    Field(examples=["oat milk please"]),
]
Code = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$"), Field(examples=["042137"])]
Address = Annotated[Email, Field(examples=["anna@example.com"])]


def _known(codes: list[str]) -> list[str]:
    if wrong := sorted(set(codes) - PERMISSIONS.keys()):
        raise ValueError(f"no such permission: {', '.join(wrong)}; there are {', '.join(PERMISSIONS)}")
    return codes


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
    """The code that came by mail."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "anna@example.com", "code": "042137"}]})

    email: Address
    code: Code


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

    grant_type: str = Field("password", pattern="^password$")
    username: Annotated[Email, Field(description="The e-mail address.", examples=["anna@example.com"])]
    password: EnteredPassword
    scope: str = ""
    client_id: str | None = None
    client_secret: str | None = None


class Refresh(Input):
    """The refresh token of the last answer."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"refresh_token": "kq0m2Zr9c7o3b1y8t5h4w6e2n0a9s8d7f6g5j4k3l2z"}]}
    )

    refresh_token: Annotated[str, Field(min_length=1, max_length=4096)]


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


@partial
class UserFields(Input):
    """What may be written of a person."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Анна", "phone": "+79161234567"}]})

    name: Name | None
    phone: Phone | None
    email: Annotated[Email, Field(description="Counts once it is verified.", examples=["anna@example.com"])]
    role: Annotated[str, Field(max_length=60, description="Only by an administrator.", examples=["barista"])]
    is_active: Annotated[bool, Field(strict=True, description="Only by an administrator.")]
    shop_ids: Annotated[
        list[UUID], Field(max_length=200, description="Only by an administrator."), AfterValidator(unique)
    ]


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
    permissions: list[str]
    shop_ids: list[UUID]
    is_verified: bool
    is_active: bool
    created_at: Instant
    updated_at: Instant


class ReplaceUser(UserFields, Replacement):
    """A person as a PUT sends them. A name or phone left out is emptied; the rest, never empty, stays."""

    shows = UserOut


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


class RoleIn(Input):
    """A named set of permissions."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "trainee", "description": "Looks, doesn't touch.", "permissions": ["orders:read"]}]
        }
    )

    name: Annotated[Name, Field(max_length=60)]
    description: Annotated[Text, Field(max_length=300)] = ""
    permissions: Permissions = Field(default_factory=list)


@partial
class ChangeRole(RoleIn):
    """Only what is sent changes."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"permissions": ["orders:read", "orders:write"]}]})


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

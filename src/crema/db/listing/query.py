"""A list request that has been understood, and the page it gets."""

import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Select
from sqlalchemy.ext.asyncio import AsyncSession

from crema.core.page import Page
from crema.db.listing.fields import ColumnField

T = TypeVar("T")

"""Who is written to about every order."""

from uuid import UUID

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from crema.accounts import queries
from crema.accounts.models import User
from crema.db.driver import raw_connection
from crema.db.statement import Statement

pytestmark = pytest.mark.anyio


async def add(session: AsyncSession, role: str, number: int, **fields: object) -> None:
    role_id = await queries.get_role_id(session, role)
    now = {"verified_at": text("now()"), "created_at": text("now()")}
    rows = [{"email": f"{role}{n}@example.com", "role_id": role_id} for n in range(number)]
    await session.execute(insert(User).values([row | now | fields for row in rows]))


async def test_are_the_administrators_who_can_log_in(session: AsyncSession) -> None:
    await add(session, "admin", 2, language="en")
    await add(session, "user", 3)
    await session.execute(
        insert(User).values(email="idle@example.com", role_id=await queries.get_role_id(session, "admin"))
    )

    found = await session.scalar(select(queries.admin_recipients()))

    assert found == [["admin0@example.com", "en"], ["admin1@example.com", "en"]]


async def test_nobody_else_is_read_on_the_way(session: AsyncSession) -> None:
    await add(session, "user", 3_000)
    await session.execute(text("ANALYZE users"))
    driver = await raw_connection(session)
    await driver.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    await driver.execute(f"PREPARE recipients AS {Statement(select(queries.admin_recipients())).sql}")

    plan = await driver.fetch(f"EXPLAIN EXECUTE recipients ('admin', '{UUID(int=0)}', '{UUID(int=2**128 - 1)}')")

    plan_text = "\n".join(line for (line,) in plan)
    assert "ix_users_role_id_id" in plan_text
    assert "pk_users" not in plan_text

"""What is forgotten goes in short transactions, which wait for nobody."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, func, select

from crema.db.batches import delete_in_batches
from crema.db.session import Sessions
from crema.notifications.models import Mail

pytestmark = pytest.mark.anyio
LONG_AGO = datetime.now(UTC) - timedelta(days=60)


async def add_mails(sessions: Sessions, number: int, *, template: str = "old") -> None:
    async with sessions.begin() as session:
        session.add_all(
            Mail(recipient="a@example.com", template=template, language="en", context={}, created_at=LONG_AGO)
            for _ in range(number)
        )


async def test_all_is_deleted_a_batch_a_transaction(own_sessions: Sessions) -> None:
    await add_mails(own_sessions, 25)
    await add_mails(own_sessions, 1, template="kept")
    commits = []
    engine = own_sessions.kw["bind"].sync_engine

    def note(_: object) -> None:
        commits.append(1)

    event.listen(engine, "commit", note)
    try:
        assert await delete_in_batches(own_sessions, Mail, Mail.template == "old", batch=10) == 25
    finally:
        event.remove(engine, "commit", note)

    assert len(commits) == 3
    async with own_sessions() as session:
        assert list(await session.scalars(select(Mail.template))) == ["kept"]


async def test_a_row_that_somebody_has_locked_is_left_for_the_next_time(own_sessions: Sessions) -> None:
    await add_mails(own_sessions, 3)

    async with own_sessions.begin() as session:
        await session.scalars(select(Mail).limit(1).with_for_update())
        assert await delete_in_batches(own_sessions, Mail, Mail.template == "old") == 2

    assert await delete_in_batches(own_sessions, Mail, Mail.template == "old") == 1
    async with own_sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Mail)) == 0

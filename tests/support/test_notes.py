"""Notes among the staff, which a customer never sees."""

import httpx2
import pytest

from crema.db.session import Sessions
from fixtures.live import Town, chatting
from fixtures.people import LogIn
from fixtures.server import http_client

pytestmark = pytest.mark.anyio


async def test_a5_staff_write_and_search_notes_and_the_customer_sees_nothing_of_them(
    customer: httpx2.AsyncClient, log_in: LogIn, sessions: Sessions
) -> None:
    support = await log_in("support@example.com", role="support", name="Софья")
    chat = (await customer.post("/chat")).json()
    before = (await customer.get(f"/chat/{chat['id']}")).json()

    note = await support.post(f"/chat/{chat['id']}/notes", json={"text": "Звонила, <b>ждёт</b>."})
    await support.post(f"/chat/{chat['id']}/notes", json={"text": "Вернули деньги."})
    listed = (await support.get(f"/chat/{chat['id']}/notes", params={"search": "ждет"})).json()

    assert note.status_code == 201
    assert note.json()["author"] == {"id": str(support.person.id), "name": "Софья", "role": "support"}
    assert listed["items"] == [note.json()]
    assert (await customer.get(f"/chat/{chat['id']}")).json() == before
    assert (await customer.get(f"/chat/{chat['id']}/messages")).json()["total"] == 0
    assert (await customer.get(f"/chat/{chat['id']}/notes")).status_code == 403


async def test_only_the_staff_s_sockets_hear_of_a_note(town: Town) -> None:
    anna, support, other = await town.person(), await town.person("support"), await town.person("support")
    async with http_client(base_url=town.servers[0].url) as client:
        opened = await client.post("/chat", headers={"Authorization": f"Bearer {anna.token}"})
        chat = opened.json()["id"]
        async with chatting(town.servers[0], anna) as customer, chatting(town.servers[1], support, chat) as staff:
            await client.post(
                f"/chat/{chat}/notes",
                json={"text": "between us"},
                headers={"Authorization": f"Bearer {other.token}"},
            )
            heard = await staff.expect("note")
            await staff.say("hello")
            await customer.expect("message", seq=1)

    assert heard == {"type": "note", "conversation_id": chat, "count": 1}
    assert not [frame for frame in customer.seen if frame["type"] == "note"]

"""The support chat over WebSocket, against two real server processes on one database."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from sqlalchemy import delete, select, update
from websockets.exceptions import ConnectionClosed, InvalidStatus

from crema.accounts.models import Role, RolePermission, Session, StaffShop, User
from crema.live.domain import AUTH_SECONDS
from crema.live.hub import CHECK_SECONDS, POLL_SECONDS
from crema.support.models import Conversation, Message
from crema.web.state import WebState, state_of
from factories.orders import make_shop
from fixtures.live import WAIT_SECONDS, Town, chatting, open_socket
from fixtures.people import PersonMade
from fixtures.server import http_client

pytestmark = pytest.mark.anyio


async def own_chat(town: Town, person: PersonMade) -> str:
    async with http_client(base_url=town.servers[0].url) as client:
        answer = await client.post("/chat", headers={"Authorization": f"Bearer {person.token}"})
    chat_id: str = answer.json()["id"]
    return chat_id


async def ticket_of(town: Town, person: PersonMade) -> str:
    async with http_client(base_url=town.servers[0].url) as client:
        answer = await client.post("/chat/ticket", headers={"Authorization": f"Bearer {person.token}"})
    assert answer.status_code == 201
    ticket: str = answer.json()["ticket"]
    return ticket


async def test_a_message_reaches_the_other_side_through_another_process(town: Town) -> None:
    anna, support = await town.person(name="Анна"), await town.person("support")
    chat = await own_chat(town, anna)

    async with chatting(town.servers[0], anna) as customer, chatting(town.servers[1], support, chat) as staff:
        ack = await customer.say("Где мой <b>латте</b>?", "m-1")
        heard = await staff.expect("message")
        await staff.say("Уже готов.")
        answer = await customer.expect("message", seq=2)

    assert ack == {"type": "ack", "client_id": "m-1", "seq": 1}
    assert heard["text"] == "Где мой <b>латте</b>?"
    assert heard["author"] == {"id": str(anna.id), "name": "Анна", "role": "user"}
    assert (heard["seq"], heard["client_id"], heard["conversation_id"]) == (1, "m-1", chat)
    assert answer["author"]["role"] == "support"


async def test_the_first_frame_may_bring_a_token_or_a_ticket(town: Town) -> None:
    anna = await town.person()
    ticket = await ticket_of(town, anna)

    async with open_socket(town.servers[0], "/chat") as socket:
        await socket.send("auth", token=anna.token)
        by_token = await socket.next()
    async with open_socket(town.servers[1], "/chat") as socket:
        await socket.send("auth", ticket=ticket)
        by_ticket = await socket.next()

    assert by_token["type"] == by_ticket["type"] == "ready"
    assert by_token["conversation"]["id"] == by_ticket["conversation"]["id"]


async def test_w2_of_twenty_who_bring_one_ticket_one_gets_in(town: Town) -> None:
    ticket = await ticket_of(town, await town.person())

    async def try_it(number: int) -> int | str | None:
        async with open_socket(town.servers[number % 2], "/chat") as socket:
            await socket.send("auth", ticket=ticket)
            try:
                return str((await socket.next())["type"])
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else None

    answers = await asyncio.gather(*(try_it(number) for number in range(20)))

    assert sorted(map(str, answers)) == ["4401"] * 19 + ["ready"]


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "auth", "token": "nonsense"},
        {"type": "auth", "ticket": "nonsense"},
        {"type": "auth"},
        {"type": "message", "text": "hello", "client_id": "1"},
    ],
)
async def test_who_does_not_say_who_they_are_is_closed_with_4401(town: Town, frame: dict[str, Any]) -> None:
    async with open_socket(town.servers[0], "/chat") as socket:
        await socket.connection.send(json.dumps(frame))

        assert await socket.closed() == 4401


async def test_w3_silence_is_closed_with_4408_after_five_seconds(town: Town) -> None:
    async def stay_silent() -> int | None:
        async with open_socket(town.servers[0], "/chat") as socket:
            return await socket.closed()

    codes = await asyncio.gather(*(stay_silent() for _ in range(50)))

    assert set(codes) == {4408}
    assert AUTH_SECONDS == 5


async def test_a5_somebody_elses_conversation_does_not_exist(town: Town) -> None:
    anna, boris = await town.person(), await town.person()
    chat = await own_chat(town, anna)

    async with open_socket(town.servers[0], f"/chat/{chat}", boris) as socket:
        assert await socket.closed() == 4404


async def test_t13_an_unverified_address_does_not_talk(town: Town) -> None:
    async with open_socket(town.servers[0], "/chat", await town.person(is_verified=False)) as socket:
        assert await socket.closed() == 4403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"])
async def test_w1_a_page_of_another_origin_is_refused_before_the_socket_opens(town: Town, origin: str) -> None:
    anna = await town.person()

    with pytest.raises(InvalidStatus) as refused:
        async with open_socket(town.servers[0], "/chat", anna, origin=origin):
            pass

    assert refused.value.response.status_code == 403


async def test_w1_a_page_of_this_host_is_let_in(town: Town) -> None:
    async with open_socket(town.servers[0], "/chat", await town.person(), origin=town.servers[0].url) as socket:
        await socket.expect("ready")


async def test_w1_in_development_a_page_of_localhost_is_let_in_whatever_its_port(town: Town) -> None:
    async with open_socket(town.servers[0], "/chat", await town.person(), origin="http://localhost:5173") as socket:
        await socket.expect("ready")


async def test_w2_a_token_in_the_address_is_refused_and_not_logged(town: Town) -> None:
    anna = await town.person()

    with pytest.raises(InvalidStatus) as refused:
        async with open_socket(town.servers[0], f"/chat?token={anna.token}"):
            pass

    assert refused.value.response.status_code == 403
    assert anna.token not in town.servers[0].log.read_text()


async def test_w7_what_was_missed_is_replayed_from_after(town: Town) -> None:
    anna, support = await town.person(), await town.person("support")
    chat = await own_chat(town, anna)
    async with chatting(town.servers[0], anna) as customer:
        for number in range(1, 8):
            await customer.say(f"message {number}")

    async with chatting(town.servers[1], support, chat, after=3) as staff:
        frames = [await staff.expect("message") for _ in range(4)]
    async with chatting(town.servers[1], support, chat) as staff:
        assert staff.seen[0]["last_seq"] == 7
        await staff.send("ping")
        after_ready = await staff.next()

    assert [frame["seq"] for frame in frames] == [4, 5, 6, 7]
    assert after_ready == {"type": "pong"}


async def test_a_long_history_is_replayed_whole_and_in_order(town: Town) -> None:
    anna = await town.person()
    chat = await own_chat(town, anna)
    async with town.sessions.begin() as session:
        row = (await session.scalars(select(Conversation).where(Conversation.customer_id == anna.id))).one()
        row.last_seq = 450
        session.add_all(
            Message(
                conversation_id=row.id,
                seq=seq,
                client_id=str(seq),
                author_id=anna.id,
                author_role="user",
                is_from_customer=True,
                text="again",
            )
            for seq in range(1, 451)
        )

    async with chatting(town.servers[0], anna, chat, after=0) as customer:
        seqs = [(await customer.expect("message"))["seq"] for _ in range(450)]

    assert seqs == list(range(1, 451))


async def test_w7_a_message_sent_again_is_stored_once(town: Town) -> None:
    anna = await town.person()

    async with chatting(town.servers[0], anna) as first, chatting(town.servers[1], anna) as second:
        acks = [await first.say("once", "same"), await second.say("once", "same"), await first.say("once", "same")]
        await first.say("another", "other")
        refused = await _refusal(first, "message", text="changed", client_id="same")

    assert {ack["seq"] for ack in acks} == {1}
    assert refused["code"] == "client_id_taken"
    async with town.sessions() as session:
        stored = list(await session.scalars(select(Message.seq).where(Message.author_id == anna.id)))
    assert sorted(stored) == [1, 2]


async def _refusal(socket: Any, type_: str, **fields: Any) -> dict[str, Any]:
    await socket.send(type_, **fields)
    refused: dict[str, Any] = await socket.expect("error")
    return refused


async def test_typing_and_receipts_reach_the_others(town: Town) -> None:
    anna, support = await town.person(), await town.person("support")
    chat = await own_chat(town, anna)

    async with chatting(town.servers[0], anna) as customer, chatting(town.servers[1], support, chat) as staff:
        await customer.say("hello?")
        await staff.expect("message")
        await staff.send("typing")
        typing = await customer.expect("typing")
        await staff.send("read", seq=1)
        receipt = await customer.expect("read")

    assert typing == {"type": "typing", "user_id": str(support.id), "side": "staff"}
    assert receipt == {"type": "read", "side": "staff", "seq": 1}
    assert not [frame for frame in staff.seen if frame["type"] == "typing"]


async def test_presence_counts_people_not_sockets(town: Town) -> None:
    anna, support = await town.person(), await town.person("support")
    chat = await own_chat(town, anna)

    async with chatting(town.servers[0], anna) as customer:
        async with chatting(town.servers[1], support, chat) as staff:
            came = await customer.expect("presence")
            there = await staff.expect("presence")
            async with chatting(town.servers[0], support, chat):
                pass
            await staff.send("typing")
            await customer.expect("typing")
            assert [frame["type"] for frame in customer.seen].count("presence") == 1
        left = await customer.expect("presence")

    assert came == {"type": "presence", "user_id": str(support.id), "side": "staff", "online": True}
    assert there == {"type": "presence", "user_id": str(anna.id), "side": "customer", "online": True}
    assert left == came | {"online": False}


async def test_the_staff_see_who_took_it_and_the_customer_that_it_is_settled(town: Town) -> None:
    anna, support = await town.person(), await town.person("support")
    chat = await own_chat(town, anna)
    url, headers = f"{town.servers[1].url}/chat/{chat}", {"Authorization": f"Bearer {support.token}"}

    async with chatting(town.servers[0], anna) as customer, http_client(headers=headers) as client:
        await client.patch(url, json={"assigned_to": str(support.id), "status": "resolved"})
        settled = await customer.expect("conversation")
        await customer.say("one more thing")
        reopened = await customer.expect("conversation")

    assert settled == {"type": "conversation", "id": chat, "status": "resolved", "assigned_to": str(support.id)}
    assert reopened["status"] == "open"


Revocation = Callable[[Town, PersonMade], Awaitable[None]]


async def log_out(town: Town, person: PersonMade) -> None:
    async with http_client(headers={"Authorization": f"Bearer {person.token}"}) as client:
        assert (await client.post(f"{town.servers[1].url}/logout")).status_code == 204


async def block(town: Town, person: PersonMade) -> None:
    async with town.sessions.begin() as session:
        await session.execute(update(User).where(User.id == person.id).values(is_active=False))


async def end_logins(town: Town, person: PersonMade) -> None:
    """What changing the password does to the other logins."""
    async with town.sessions.begin() as session:
        now = state_of(town.app, WebState).clock()
        await session.execute(update(Session).where(Session.user_id == person.id).values(ended_at=now))


async def change_role(town: Town, person: PersonMade) -> None:
    async with town.sessions.begin() as session:
        role_id = (await session.scalars(select(Role.id).where(Role.name == "barista"))).one()
        await session.execute(update(User).where(User.id == person.id).values(role_id=role_id))


@pytest.mark.parametrize(("revoke", "code"), [(log_out, 4401), (block, 4401), (end_logins, 4401), (change_role, 4403)])
async def test_w4_revoked_access_closes_the_socket_unasked(town: Town, revoke: Revocation, code: int) -> None:
    anna, support = await town.person(), await town.person("support")
    chat = await own_chat(town, anna)

    async with chatting(town.servers[0], support, chat) as staff:
        await revoke(town, support)
        async with asyncio.timeout(WAIT_SECONDS):
            closed = await staff.closed()

    assert closed == code
    assert CHECK_SECONDS < 1, "how often logins are looked at"
    assert WAIT_SECONDS < POLL_SECONDS, "it was closed by the watch over logins, not by a late look"


async def test_w4_a_message_after_the_revocation_is_not_stored(town: Town) -> None:
    anna = await town.person()

    async with chatting(town.servers[0], anna) as customer:
        await end_logins(town, anna)
        await customer.send("message", text="too late", client_id="late")
        assert await customer.closed() == 4401

    async with town.sessions() as session:
        assert not list(await session.scalars(select(Message).where(Message.author_id == anna.id)))


async def test_a5_staff_whose_shop_it_is_no_more_are_put_out_at_the_next_message(town: Town) -> None:
    anna, support = await town.person(), await town.person("support")
    chat = await own_chat(town, anna)
    shop = await make_shop(town.sessions, slug=uuid4().hex)
    manager = await town.person("manager", shop_ids=(shop,))
    async with town.sessions.begin() as session:
        assigned = {"assigned_to_id": manager.id, "assigned_shop_id": shop}
        await session.execute(update(Conversation).values(**assigned).where(Conversation.id == chat))

    async with chatting(town.servers[0], manager, chat) as staff, chatting(town.servers[1], support, chat) as other:
        async with town.sessions.begin() as session:
            await session.execute(update(Conversation).values(assigned_to_id=None).where(Conversation.id == chat))
        await other.say("not for you")

        assert await staff.closed() == 4403
    assert not [frame for frame in staff.seen if frame["type"] == "message"]


async def test_w5_a_flood_is_answered_then_cut_off(town: Town) -> None:
    anna = await town.person()

    async with chatting(town.servers[0], anna) as customer:
        for number in range(100):
            await customer.send("message", text="spam", client_id=str(number))
        assert await customer.closed() == 1013
        assert customer.connection.close_reason == "rate_limited"

    named = [frame["client_id"] for frame in customer.seen if frame["type"] == "error"]
    errors = [frame["code"] for frame in customer.seen if frame["type"] == "error"]
    async with town.sessions() as session:
        stored = list(await session.scalars(select(Message.seq).where(Message.author_id == anna.id)))
    assert errors == ["rate_limited"] * 3
    assert 10 <= len(stored) <= 15
    acknowledged = {frame["client_id"] for frame in customer.seen if frame["type"] == "ack"}
    assert len(set(named)) == 3
    assert not acknowledged & set(named), "an error names the message it is about"


async def test_w5_a_frame_over_32_kib_is_closed_with_1009(town: Town) -> None:
    async with chatting(town.servers[0], await town.person()) as customer:
        await customer.send("message", text="x" * 33_000, client_id="1")

        assert await customer.closed() == 1009


@pytest.mark.parametrize(
    "frame",
    [
        "not JSON",
        "",
        b"\x00\x01\x02",
        "[" * 2_000,
        '{"type": "unknown"}',
        '{"text": "no type"}',
        '{"type": "message", "text": "\\u0000", "client_id": "1"}',
        '{"type": "message", "text": "  ", "client_id": "1"}',
        '{"type": "message", "text": "hi"}',
        '{"type": "message", "text": "hi", "client_id": "1", "role": "admin"}',
        '{"type": "message", "text": "hi", "client_id": "1", "author": {"id": "1"}}',
        json.dumps({"type": "message", "text": "x" * 2_001, "client_id": "1"}),
        '{"type": "read", "seq": -1}',
        '{"type": "read", "seq": 1e400}',
        '{"type": "read", "seq": true}',
    ],
)
async def test_w6_w8_a_malformed_frame_is_refused_and_the_socket_stays(town: Town, frame: str | bytes) -> None:
    async with chatting(town.servers[0], await town.person()) as customer:
        await customer.connection.send(frame)
        refused = await customer.expect("error")
        await customer.send("ping")
        await customer.expect("pong")

    assert refused["code"] == "validation_error"
    assert "Traceback" not in town.servers[0].log.read_text()


async def test_w6_broken_utf8_closes_with_1007_and_leaves_no_traceback(town: Town) -> None:
    async with chatting(town.servers[0], await town.person()) as customer:
        await customer.connection.send(b"\xff\xfe", text=True)

        assert await customer.closed() == 1007
    assert "Traceback" not in town.servers[0].log.read_text()


async def test_w5_a_person_has_five_sockets_in_all_processes_together_and_the_newest_take_the_oldest_s_place(
    town: Town,
) -> None:
    anna = await town.person()
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(chatting(town.servers[number % 2], anna)) for number in range(8)]
        codes = [await socket.closed() for socket in sockets[:3]]
        reasons = {socket.connection.close_reason for socket in sockets[:3]}
        for socket in sockets[3:]:
            await socket.send("ping")
            await socket.expect("pong")

    assert codes == [1013] * 3
    assert reasons == {"too_many_sockets"}


async def test_w5_eight_sockets_opened_at_once_are_five_in_the_end(town: Town) -> None:
    anna = await town.person()
    async with AsyncExitStack() as stack:
        opening = (chatting(town.servers[number % 2], anna) for number in range(8))
        sockets = await asyncio.gather(*(stack.enter_async_context(each) for each in opening))
        async with asyncio.timeout(WAIT_SECONDS):
            while sum(socket.connection.close_code == 1013 for socket in sockets) < 3:  # noqa: ASYNC110 - of many
                await asyncio.sleep(0.05)
        for socket in sockets:
            if socket.connection.close_code is None:
                await socket.send("ping")
                await socket.expect("pong")

    assert [socket.connection.close_code for socket in sockets].count(1013) == 3


@pytest.mark.parametrize("after", ["soon", "-1", "1.0", "²"])
async def test_a_malformed_position_is_the_reason_of_the_close(town: Town, after: str) -> None:
    async with open_socket(town.servers[0], f"/chat?after={quote(after)}", await town.person()) as socket:
        code, reason = await socket.closed(), socket.connection.close_reason

    assert (code, reason) == (1008, "validation_error: after: send a number from 0 on")


async def test_a_parameter_nobody_knows_is_the_reason_of_the_close(town: Town) -> None:
    async with open_socket(town.servers[0], "/chat?aftr=3", await town.person()) as socket:
        code, reason = await socket.closed(), socket.connection.close_reason

    assert (code, reason) == (1008, "validation_error: aftr: there is no such field here: leave it out")


@pytest.mark.parametrize("after", ["5", "99999999999999999999"])
async def test_a_position_beyond_the_end_is_said_and_what_is_new_follows(town: Town, after: str) -> None:
    anna = await town.person()
    async with chatting(town.servers[0], anna) as customer:
        await customer.say("one")

    async with open_socket(town.servers[1], f"/chat?after={after}", anna) as customer:
        ready, refused = await customer.next(), await customer.next()
        await customer.say("two")
        heard = await customer.expect("message")

    assert ready["last_seq"] == 1
    assert (refused["type"], refused["code"]) == ("error", "invalid_position")
    assert heard["seq"] == 2


async def test_an_error_names_the_message_it_is_about_even_a_malformed_one(town: Town) -> None:
    async with chatting(town.servers[0], await town.person()) as customer:
        await customer.say("mine", "taken")
        taken = await _refusal(customer, "message", text="other", client_id="taken")
        empty = await _refusal(customer, "message", text=" ", client_id="empty")
        nameless = await _refusal(customer, "nonsense", client_id=["no", "name"])
        long = await _refusal(customer, "message", text="x" * 2_001, client_id="long")

    assert (taken["code"], taken["client_id"]) == ("client_id_taken", "taken")
    assert (empty["code"], empty["client_id"]) == ("validation_error", "empty")
    assert (nameless["code"], nameless["client_id"]) == ("validation_error", None)
    assert (long["code"], long["client_id"]) == ("validation_error", "long")


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [
        pytest.param("🙂" * 2_000, True, id="2,000 emoji"),
        pytest.param("🙂" * 2_001, False, id="2,001 emoji"),
        pytest.param("й" * 2_000, True, id="2,000 letters"),
        pytest.param("и\u0306" * 1_001, False, id="1,001 letters of two characters each, though one in NFC"),
        pytest.param("\r\n".join("a" * 1_000), True, id="1,999 characters with the line ends of Windows"),
        pytest.param("\U0001d15e" * 2_000, False, id="2,000 notes, which are 4,000 characters in NFC"),
    ],
)
async def test_a_character_is_the_same_over_http_and_sockets_however_it_is_escaped(
    town: Town,
    text: str,
    is_taken: bool,  # noqa: FBT001 - a row of a table
) -> None:
    anna = await town.person()
    chat = await own_chat(town, anna)
    headers = {"Authorization": f"Bearer {anna.token}", "Content-Type": "application/json"}
    escaped = json.dumps({"text": text, "client_id": "http"})
    async with http_client(base_url=town.servers[0].url, headers=headers) as client:
        answer = await client.post(f"/chat/{chat}/messages", content=escaped)
    async with chatting(town.servers[0], anna) as customer:
        await customer.send("message", text=text, client_id="escaped")  # json.dumps escapes
        while (first := await customer.next()).get("client_id") != "escaped" or first["type"] == "message":
            pass
        raw = json.dumps({"type": "message", "text": text, "client_id": "raw"}, ensure_ascii=False)
        await customer.connection.send(raw)
        while (second := await customer.next()).get("client_id") != "raw" or second["type"] == "message":
            pass

    assert escaped.isascii()
    assert answer.status_code == (201 if is_taken else 422)
    assert [first["type"], second["type"]] == (["ack"] * 2 if is_taken else ["error"] * 2)


async def give_right(town: Town, role: str, permission: str) -> None:
    async with town.sessions.begin() as session:
        role_id = (await session.scalars(select(Role.id).where(Role.name == role))).one()
        session.add(RolePermission(role_id=role_id, permission_code=permission))


async def own_role(town: Town, *permissions: str) -> str:
    """A role that no other test has."""
    role = Role(name=f"role-{uuid4().hex[:8]}")
    async with town.sessions.begin() as session:
        session.add(role)
        await session.flush()
        session.add_all(RolePermission(role_id=role.id, permission_code=code) for code in permissions)
    return role.name


async def test_w4_a_permission_added_to_a_role_closes_nothing_and_counts_at_once(town: Town) -> None:
    anna, role = await town.person(), await own_role(town, "support:write", "shops:all")
    chat, support = await own_chat(town, anna), await town.person(role)

    async with (
        chatting(town.servers[0], support, chat) as staff,
        open_socket(town.servers[0], "/orders/live", support) as orders,
        chatting(town.servers[0], support) as own,
    ):
        await orders.expect("snapshot")
        await give_right(town, role, "orders:read")
        await orders.expect("snapshot")  # what they see begins anew: the change has reached the process
        await staff.say("still here")
        await own.say("here too")


async def test_w4_another_role_that_allows_the_conversation_closes_nothing(town: Town) -> None:
    anna, role = await town.person(), await own_role(town, "support:write", "shops:all", "orders:read")
    chat, support = await own_chat(town, anna), await town.person(await own_role(town, "support:write", "shops:all"))

    async with chatting(town.servers[0], support, chat) as staff:
        async with town.sessions.begin() as session:
            role_id = (await session.scalars(select(Role.id).where(Role.name == role))).one()
            await session.execute(update(User).where(User.id == support.id).values(role_id=role_id))
        await staff.say("in a new role")
        heard = await staff.expect("message")

    assert heard["author"]["role"] == role


async def test_a3_staff_who_lose_the_shop_are_put_out_without_a_message(town: Town) -> None:
    anna, shop_id = await town.person(), await make_shop(town.sessions, slug=f"s{uuid4().hex[:12]}")
    chat, manager = await own_chat(town, anna), await town.person("manager", shop_ids=(shop_id,))
    async with town.sessions.begin() as session:
        await session.execute(update(Conversation).values(shop_id=shop_id).where(Conversation.id == chat))

    async with chatting(town.servers[0], manager, chat) as staff:
        async with town.sessions.begin() as session:
            await session.execute(delete(StaffShop).where(StaffShop.user_id == manager.id))

        assert await staff.closed() == 4403

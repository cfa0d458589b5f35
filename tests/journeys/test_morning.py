"""A morning at the shop, over real HTTP against a started server, with a real SMTP server at the other end."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from crema.demo.chain import load
from fixtures.server import Server, processes_using, running
from fixtures.smtp import Sink, text_of

PASSWORD = "oat milk please"


def await_mail(sink: Sink, to: str, subject: str) -> EmailMessage:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for message in sink.messages:
            if to in message["To"] and subject in message["Subject"]:
                return message
        time.sleep(0.05)
    raise AssertionError([(message["To"], message["Subject"]) for message in sink.messages])


@pytest.fixture(scope="module")
def server(smtp_server: Sink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("morning") / "data", CREMA_SMTP_URL=smtp_server.url) as server:
        yield server


def await_value(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if value := look():
            return value
        time.sleep(0.1)
    raise AssertionError("it never came")


def log_in(server: Server, email: str, password: str) -> httpx2.Client:
    answer = httpx2.post(f"{server.url}/authentication", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    return httpx2.Client(
        base_url=server.url, headers={"Authorization": f"Bearer {answer.json()['access_token']}"}, timeout=10
    )


def test_from_registration_to_the_handed_over_order(server: Server, smtp_server: Sink) -> None:
    chain = load()
    anna = {"email": "anna@example.com", "password": PASSWORD, "name": "Анна"}

    with httpx2.Client(base_url=server.url, headers={"Accept-Language": "ru"}, timeout=10) as browser:
        registered = browser.post("/registration", json=anna)
        assert (registered.status_code, registered.json()["is_verified"]) == (201, False)
        assert browser.post("/authentication", json=anna | {"name": None}).status_code == 422
        login = {"email": anna["email"], "password": PASSWORD}
        assert browser.post("/authentication", json=login).json()["code"] == "email_not_verified"

        letter = text_of(await_mail(smtp_server, "anna@example.com", ""))
        assert re.search("[а-я]", letter)
        code = re.search(r"\b\d{6}\b", letter)
        assert code
        assert browser.post("/verification", json={"email": anna["email"], "code": code[0]}).json()["is_verified"]

        menu = browser.get("/products", params={"search": "латте", "sort": "price"}).json()
        assert menu["total"] >= 1
        latte = menu["items"][0]
        images = await_value(lambda: browser.get(f"/product/{latte['id']}").json()["images"])
        picture = browser.get(next(iter(images[0]["urls"].values())))
        assert picture.headers["content-type"] == "image/webp"
        shop = browser.get("/shops", params={"open_now": "true"}).json()["items"][0]

    with log_in(server, anna["email"], PASSWORD) as customer:
        cart = customer.post("/cart", json={"product_id": latte["id"], "quantity": 2}).json()
        assert float(cart["total"]) == 2 * float(cart["items"][0]["unit_price"]) > 0
        placed = customer.post(
            "/order",
            json={"shop_id": shop["id"], "expected_total": cart["total"]},
            headers={"Idempotency-Key": "morning"},
        )
        assert placed.status_code == 201, placed.text
        order = placed.json()
        again = customer.post(
            "/order",
            json={"shop_id": shop["id"], "expected_total": cart["total"]},
            headers={"Idempotency-Key": "morning"},
        )
        assert (again.content, again.headers["idempotency-replayed"]) == (placed.content, "true")

        admins = [account.email for account in chain.accounts if account.role == "admin"]
        for recipient in (*admins, anna["email"]):
            assert order["number"] in text_of(await_mail(smtp_server, recipient, order["number"]))

        staff = next(a for a in chain.accounts if a.role == "admin")
        with log_in(server, staff.email, chain.demo_password) as bar:
            for status in ("accepted", "preparing", "ready", "completed"):
                assert bar.patch(f"/order/{order['id']}", json={"status": status}).json()["status"] == status

        done = customer.get(f"/order/{order['id']}").json()
        assert [event["status"] for event in done["history"]] == [
            "placed",
            "accepted",
            "preparing",
            "ready",
            "completed",
        ]
        assert done["payment"]["status"] == "paid"
        await_mail(smtp_server, anna["email"], order["number"])
        assert customer.post("/logout").status_code == 204
        assert customer.get("/me").status_code == 401


OWNER = {"CREMA_ADMIN_EMAIL": "owner@example.com", "CREMA_ADMIN_PASSWORD": PASSWORD}


def test_s5_it_stops_clean_and_starts_again_on_the_same_data(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    for how in (signal.SIGTERM, signal.SIGINT):
        with running(data_dir, CREMA_DEMO="false", **OWNER) as server:
            code = server.stop(how)
            assert code in {0, -how, 128 + how}, server.log.read_text()
        assert processes_using(data_dir) == []

    with running(data_dir, CREMA_DEMO="false") as server:
        with log_in(server, "owner@example.com", PASSWORD) as owner:
            assert owner.get("/users").json()["total"] == 1
        server.process.kill()
        server.process.wait(10)
    deadline = time.monotonic() + 15
    while processes_using(data_dir) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_using(data_dir) == [], "PostgreSQL must not outlive a killed server"


def test_s4_the_database_going_away_is_told_as_such_and_no_restart_is_needed(tmp_path: Path, database_url: str) -> None:
    with running(tmp_path / "data", CREMA_DEMO="false", CREMA_DATABASE_URL=database_url) as server:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        statuses = {httpx2.get(f"{server.url}/products").status_code for _ in range(5)}

        assert statuses <= {200, 503}
        assert httpx2.get(f"{server.url}/products").status_code == 200

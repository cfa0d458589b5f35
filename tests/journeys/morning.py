"""From registration to the handed-over order, over HTTP, at whatever address a Crema with the demo chain serves."""

import re
import time
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import httpx2

from crema.demo.chain import load
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


def await_value(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if value := look():
            return value
        time.sleep(0.1)
    raise AssertionError("it never came")


def log_in(url: str, email: str, password: str) -> httpx2.Client:
    answer = httpx2.post(f"{url}/authentication", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    return httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {answer.json()['access_token']}"}, timeout=10)


def a_morning(url: str, smtp_server: Sink) -> None:
    """Register, verify, order, be served."""
    chain = load()
    anna = {"email": "anna@example.com", "password": PASSWORD, "name": "Анна"}

    with httpx2.Client(base_url=url, headers={"Accept-Language": "ru"}, timeout=10) as browser:
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

    with log_in(url, anna["email"], PASSWORD) as customer:
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
        with log_in(url, staff.email, chain.demo_password) as bar:
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

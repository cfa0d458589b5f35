"""A server that is killed between a file and its row: after a sweep, files and rows agree."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from obstore.store import LocalStore
from sqlalchemy import select

from crema.menu.models import ProductImage
from crema.menu.service import images
from crema.support.models import Attachment
from crema.support.service import attachments
from factories.pictures import png
from fixtures.live import environment, open_town
from fixtures.server import http_client, running

pytestmark = pytest.mark.anyio

DIES = """
import os, signal
from crema.{module} import {name}
{name}.__init__ = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("module", ["support", "menu"])
async def test_u4_a_kill_between_the_file_and_its_row_leaves_nothing_after_the_sweep(
    database_url: str, tmp_path: Path, module: str
) -> None:
    name = {"support": "Attachment", "menu": "ProductImage"}[module]
    dying = DIES.format(module=f"{module}.models", name=name)
    with running(tmp_path / "data", prelude=dying, **environment(database_url)) as server:
        async with open_town([server], database_url, tmp_path / "town") as town:
            person = await town.person("manager")
            headers = {"Authorization": f"Bearer {person.token}"}
            async with http_client(base_url=server.url, headers=headers, timeout=60) as client:
                product = (await client.post("/product", json={"name": "Латте", "price": "250.00"})).json()["id"]
                chat = (await client.post("/chat")).json()["id"]
                path = {"support": f"/chat/{chat}/attachments", "menu": f"/product/{product}/images"}[module]
                with pytest.raises(httpx2.TransportError):
                    await client.post(path, files={"file": ("a.png", png())})
            store = LocalStore(tmp_path / "data" / "media")
            left = [file["path"] for batch in store.list() for file in batch]

            now = datetime.now(UTC) + timedelta(hours=2)
            await images.sweep(town.sessions, store, now=now)
            await attachments.sweep(town.sessions, store, now=now)
            async with town.sessions() as session:
                rows = [
                    *await session.scalars(select(Attachment.key)),
                    *await session.scalars(select(ProductImage.key)),
                ]

    assert server.process.wait(10) == -9
    assert len(left) == 1
    assert rows == []
    assert [file["path"] for batch in store.list() for file in batch] == []

"""The limit: a bare ASGI callable on asyncpg and stored documents, without all that a service needs besides."""

import os
from urllib.parse import parse_qs
from uuid import UUID

import asyncpg

ONE = "SELECT public FROM product_documents WHERE product_id = $1"
LIST = """
    SELECT (SELECT public FROM product_documents d WHERE d.product_id = p.id), count(*) OVER () FROM products p
    WHERE p.archived_at IS NULL AND p.is_active AND p.price <= $2
    AND EXISTS (SELECT FROM product_categories c WHERE c.product_id = p.id AND c.category_id = $1)
    AND (replace(lower(p.name), 'ё', 'е') LIKE $3 OR replace(lower(p.description), 'ё', 'е') LIKE $3)
    ORDER BY p.price, p.id LIMIT 20
"""
pool: asyncpg.Pool


async def keep(connection):
    """Do not reset it, as Crema doesn't: nobody leaves state in a session."""


async def app(scope, receive, send):
    """Answer `/product/{id}` and `/products`."""
    global pool
    if scope["type"] == "lifespan":
        await receive()
        pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=2, max_size=10, reset=keep)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    async with pool.acquire() as connection:
        if scope["path"] == "/products":
            query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
            words = f"%{query['search'].lower()}%"
            rows = await connection.fetch(LIST, UUID(query["category_id"]), int(query["price__lte"]), words)
            total = rows[0][1] if rows else 0
            body = b'{"items":[%b],"total":%d}' % (b",".join(row[0] for row in rows), total)
        else:
            body = await connection.fetchval(ONE, UUID(scope["path"].rpartition("/")[2]))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

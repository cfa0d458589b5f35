"""sqlmap over the API: every query parameter and every JSON field of it, as customer and as administrator.

    python tools/attack.py            all of it, three quarters of an hour
    python tools/attack.py --smoke    the search and the order of one list

Starts a Crema of its own with the demo chain, sends traffic to loopback only, and ends with 1 if sqlmap finds anything,
if the tables' shape changed, or if sqlmap overlooks the hole that is planted at /planted.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import psycopg

from crema.db.embedded import find_running
from crema.demo.chain import load
from fixtures.server import Server, running

SECONDS = 240
"""What one operation gets at most."""
FOUND = re.compile(r"is vulnerable|identified the following injection point")
SUSPECTED = re.compile(r"parameter .* appears to be .* injectable")
ACQUITTED = "false positive or unexploitable injection point detected"
VALUES = {"string": "latte", "integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
SMOKE = {("get", "/products"): {"search", "sort"}}
"""Operations, and which of their parameters."""
PLANTED = "/planted"
PLANT = """
import crema.process
from crema.web.state import DatabaseState, state_of
from sqlalchemy import text

whole = crema.process.create_app

def with_a_hole(settings):
    app = whole(settings)

    @app.get("/planted")
    async def planted(name: str = "latte"):
        async with state_of(app, DatabaseState).sessions() as session:
            rows = await session.execute(text("SELECT slug FROM products WHERE slug = '" + name + "'"))
            return [row.slug for row in rows]

    return app

crema.process.create_app = with_a_hole
"""
ENDLESS = {"/orders/live"}
ENDS_THE_LOGIN = {"/logout", "/password/change", "/session/{session_id}", "/user/{user_id}"}
SHAPE = (
    "SELECT count(*), md5(string_agg(table_name || column_name || data_type, ',' ORDER BY table_name, column_name))"
    " FROM information_schema.columns WHERE table_schema = 'public'"
)


@dataclass(frozen=True)
class Target:
    """One operation, with a good request for it."""

    method: str
    path: str
    query: dict[str, Any]
    body: dict[str, Any] | None


def targets(document: dict[str, Any], *, smoke: bool) -> Iterator[Target]:
    """Make a request of every operation that takes anything, the planted hole's last: no description has that."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if path in ENDLESS or (method != "get" and path in ENDS_THE_LOGIN) or method == "delete":
                continue
            if smoke and (method, path) not in SMOKE:
                continue
            query = {
                each["name"]: each.get("example", "latte")
                for each in operation.get("parameters", [])
                if each["in"] == "query" and (not smoke or each["name"] in SMOKE[method, path])
            }
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema")
            body = example(document, schema) if schema else None
            if query or body:
                yield Target(method, path, query, body)
    yield Target("get", PLANTED, {"name": "latte"}, None)


def example(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """Give the first example of a schema, or make one."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if schema.get("examples"):
        return schema["examples"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return example(document, schema[choice][0])
    if "properties" in schema:
        return {name: example(document, field) for name, field in schema["properties"].items()}
    return VALUES.get(schema.get("type", "string"), "latte")


def attack(server: Server, target: Target, token: str, folder: Path) -> str | None:
    """Let sqlmap try one operation; give what it found."""
    path = re.sub(r"{\w+}", "019aaf5e-7c00-7a3b-8f61-2d9c41e0b7a5*", target.path)
    url = f"{server.url}{path}"
    if target.query:
        url += "?" + urlencode(dict(list(target.query.items())[:40]))
    command = [
        *(shutil.which("sqlmap") or "sqlmap", "--batch", "--flush-session", "--disable-coloring"),
        *("--level=2", "--risk=1", "--technique=BEU", "--dbms=PostgreSQL", "--threads=4", "--ignore-code=*"),
        *("--headers", f"Authorization: Bearer {token}\nContent-Type: application/json", "--skip=Authorization"),
        *("--method", target.method.upper(), "-u", url, "--output-dir", str(folder)),
    ]
    if target.body is not None:
        command += ["--data", json.dumps(target.body)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        output = done.stdout
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode(errors="replace")
    if "[CRITICAL]" in output and "all tested parameters do not appear" not in output:
        print("   ", re.findall(r"\[CRITICAL\] .*", output)[0][:160])
    is_open = len(SUSPECTED.findall(output)) > output.count(ACQUITTED)  # cut off before sqlmap had looked twice
    return output if FOUND.search(output) or is_open else None


def shape(database: str) -> Any:
    """Fingerprint the tables."""
    with psycopg.connect(database) as connection:
        return connection.execute(SHAPE).fetchone()


def main() -> int:
    """Attack; tell and count what is found."""
    smoke = "--smoke" in sys.argv
    chain = load()
    found: set[str] = set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {
            "CREMA_RATE_LIMIT": "",
            "CREMA_LOGIN_TRIES_PER_NETWORK": "1000000",
            "CREMA_REGISTRATIONS_PER_NETWORK": "1000000",
            "CREMA_ACCESS_TTL": "6h",
        }
        with running(folder / "data", prelude=PLANT, **environment) as server:
            database = find_running(folder / "data")
            assert database
            before = shape(database)
            document = httpx2.get(f"{server.url}/openapi.json").json()
            for role in ("user",) if smoke else ("user", "admin"):
                account = next(each for each in chain.accounts if each.role == role)
                login = {"email": account.email, "password": chain.demo_password}
                token = httpx2.post(f"{server.url}/authentication", json=login).json()["access_token"]
                for target in targets(document, smoke=smoke):
                    print(f"{role} {target.method.upper()} {target.path}", flush=True)
                    if (output := attack(server, target, token, folder)) is not None:
                        found.add(target.path)
                        print(output[-3000:] if target.path != PLANTED else "    the planted hole, as it should")
            if shape(database) != before:
                found.add("the tables' shape")
    print(f"{len(found - {PLANTED})} findings: {sorted(found - {PLANTED})}")
    if PLANTED not in found:
        print("sqlmap overlooked the planted hole: this run proves nothing")
    return 0 if found == {PLANTED} else 1


if __name__ == "__main__":
    sys.exit(main())

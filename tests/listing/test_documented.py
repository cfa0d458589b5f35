"""docs/lists.md says what is so: its examples are asked of the demo chain, what it tells is compared with ours."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from crema.core.errors import UrlTooLongError
from crema.db.listing import MAX_TOTAL, errors

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "lists.md").read_text()
REQUEST, ANSWER = "GET ", "→ "


class Example(NamedTuple):
    """Requests that all have this answer; None if the page doesn't tell it."""

    requests: Sequence[str]
    answer: str | None


def examples(page: str) -> list[Example]:
    """Read the blocks of a page: requests, then a line with their answer, then an empty line."""
    found = []
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for part in "\n".join(block for language, block in blocks if not language).strip().split("\n\n"):
        lines = part.splitlines()
        requests = [line.removeprefix(REQUEST) for line in lines if line.startswith(REQUEST)]
        answers = [line.removeprefix(ANSWER) for line in lines if line.startswith(ANSWER)]
        assert len(requests) + len(answers) == len(lines), part
        found.append(Example(requests, answers[0] if answers else None))
    return found


async def answer_of(client: httpx2.AsyncClient, request: str) -> str:
    """Write an answer as the page does: the names of its items, or the status and code of a refusal."""
    response = await client.get(request)
    body = response.json()
    if response.status_code == httpx2.codes.OK:
        return " · ".join(item["name"] for item in body["items"])
    return f"{response.status_code} {body['code']}"


async def wrong(client: httpx2.AsyncClient, examples: Iterable[Example]) -> list[tuple[str, str]]:
    """Give the requests that have another answer than the page says, with what they have."""
    return [
        (request, given)
        for example in examples
        for request in example.requests
        if (given := await answer_of(client, request)) != example.answer
    ]


ANSWERED = [example for example in examples(PAGE) if example.answer is not None]


async def test_the_examples_are_answered_as_the_page_says(demo: httpx2.AsyncClient) -> None:
    assert len(ANSWERED) >= 20
    assert await wrong(demo, ANSWERED) == []


async def test_twin_a_page_that_says_something_else_is_noticed(demo: httpx2.AsyncClient) -> None:
    shortened = [Example(each.requests[:1], (each.answer or "")[:-1]) for each in ANSWERED]

    assert len(await wrong(demo, shortened)) == len(ANSWERED)


async def test_the_other_examples_are_questions_of_people(demo: httpx2.AsyncClient, admin: httpx2.AsyncClient) -> None:
    """What they find depends on the day."""
    asked = [request for example in examples(PAGE) if example.answer is None for request in example.requests]

    assert {request: (await admin.get(request)).status_code for request in asked} == dict.fromkeys(asked, 200)
    assert {(await demo.get(request)).status_code for request in asked} == {401}


async def test_the_page_shown_as_json_is_a_page_of_the_demo_chain(demo: httpx2.AsyncClient) -> None:
    request, shown = re.findall(r"`GET (/\S+)`:\n\n```json\n(.*?)```", PAGE, re.DOTALL)[0]

    answer = (await demo.get(request)).json()

    known = {name: value for name, value in json.loads(shown).items() if name not in {"items", "next_cursor"}}
    assert json.loads(shown).keys() == answer.keys()
    assert {name: answer[name] for name in known} == known


def test_every_refusal_of_a_list_is_told_with_its_status() -> None:
    told = set(re.findall(r"^\| (\d+) `(\w+)` \|", PAGE, re.MULTILINE))
    raised = {each.code for each in vars(errors).values() if getattr(each, "__module__", "") == errors.__name__}

    assert told == {("422", code) for code in raised} | {("414", UrlTooLongError.code)}
    assert f"Matches are counted up to {MAX_TOTAL:,}." in PAGE
    assert f"`total_at_least` is {MAX_TOTAL + 1}" in PAGE

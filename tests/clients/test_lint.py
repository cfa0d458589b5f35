"""What linters say of our descriptions: Redocly and Spectral of OpenAPI, AsyncAPI's own parser of the sockets'."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from crema.app import create_app
from crema.settings import Settings
from crema.web.docs import Documents
from crema.web.state import state_of
from fixtures.made import made_once
from fixtures.npm import installed

LINT = Path(__file__).parent / "lint"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The descriptions, the linters and their rules."""
    folder = tmp_path_factory.mktemp("lint")
    (folder / "node_modules").symlink_to(installed(LINT))
    for rules in ("redocly.yaml", "spectral.yaml", "asyncapi.mjs"):
        shutil.copy(LINT / rules, folder)
    app = create_app(Settings(_env_file=None, data_dir=folder / "data", run_worker=False))
    (folder / "openapi.json").write_text(json.dumps(app.openapi()))
    (folder / "asyncapi.json").write_text(json.dumps(state_of(app, Documents).asyncapi().content))
    return folder


def complaints(folder: Path, *command: str) -> Any:
    """Run a linter; return what it found."""
    node = shutil.which("node")
    assert node, "npm without node"

    def lint(result: Path) -> None:
        done = subprocess.run(  # noqa: S603 - our own command lines
            [node, *command], cwd=folder, capture_output=True, text=True, check=False, timeout=400
        )
        start = min((at for at in map(done.stdout.find, "[{") if at >= 0), default=None)
        assert start is not None, done.stdout + done.stderr
        (result / "found.json").write_text(done.stdout[start:])

    sources = [LINT / "package-lock.json", Path(__file__), *sorted(folder.glob("*.yaml")), *folder.glob("*.mjs")]
    sources += [folder / each for each in command if each.endswith(".json")]
    return json.loads((made_once([*command, *sources], lint) / "found.json").read_text())


def redocly(folder: Path, file: str) -> list[str]:
    command = ["node_modules/.bin/redocly", "lint", file, "--config", "redocly.yaml", "--format", "json"]
    found = complaints(folder, *command)
    return [f"{each['severity']} {each['ruleId']}: {each['message']}" for each in found["problems"]]


def spectral(folder: Path, file: str) -> list[str]:
    command = ["node_modules/.bin/spectral", "lint", file, "--ruleset", "spectral.yaml", "--format", "json", "--quiet"]
    return [f"{each['severity']} {each['code']}: {each['message']}" for each in complaints(folder, *command)]


def asyncapi(folder: Path, file: str) -> list[str]:
    return [
        f"{each['severity']} {each['code']}: {each['message']}" for each in complaints(folder, "asyncapi.mjs", file)
    ]


@pytest.mark.parametrize("linter", [redocly, spectral])
def test_openapi_passes_the_linters_without_a_warning(folder: Path, linter: Any) -> None:
    assert linter(folder, "openapi.json") == []


def test_asyncapi_passes_its_parser_without_a_warning(folder: Path) -> None:
    assert asyncapi(folder, "asyncapi.json") == []


def test_twin_what_is_wrong_is_found(folder: Path) -> None:
    document = json.loads((folder / "openapi.json").read_text())
    small = {name: document[name] for name in ("openapi", "info")} | {"paths": {}}
    (folder / "broken.json").write_text(json.dumps(small))
    sockets = json.loads((folder / "asyncapi.json").read_text())
    sockets["operations"]["orders.send"]["action"] = "shout"
    (folder / "broken_asyncapi.json").write_text(json.dumps(sockets))

    assert any("no-empty-servers" in each for each in redocly(folder, "broken.json"))
    assert any("oas3-api-servers" in each for each in spectral(folder, "broken.json"))
    assert any("asyncapi-document-resolved" in each for each in asyncapi(folder, "broken_asyncapi.json"))

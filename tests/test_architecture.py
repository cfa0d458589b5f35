"""What import-linter can't say of the house."""

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.params import Depends
from sqlalchemy import inspect as inspect_mapper

from crema import tables
from crema.core.errors import CremaError
from crema.db.base import Base
from crema.web import problem, transaction

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "crema"
FEATURES = ("accounts", "live", "media", "notifications", "shops", "menu", "cart", "orders", "reports", "support")
ALLOWED = {
    "__init__",
    "domain",
    "models",
    "schemas",
    "queries",
    "service",
    "deps",
    "hub",
    "routes",
    "staff",
    "socket",
    "tasks",
}
LEFTOVERS = {"utils", "helpers", "constants", "exceptions", "crud", "repository", "manager", "common", "misc"}


def modules() -> Iterator[Path]:
    return (path for path in SOURCE.rglob("*.py") if "migrations" not in path.parts)


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines())


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_holds_only_what_has_a_job(feature: str) -> None:
    found = {path.stem for path in (SOURCE / feature).iterdir() if path.suffix == ".py" or path.is_dir()}

    assert found - ALLOWED - {"__pycache__", "templates"} == set()


def test_nothing_is_named_for_leftovers() -> None:
    assert [path for path in modules() if path.stem in LEFTOVERS] == []


@pytest.mark.parametrize(("pattern", "limit"), [("service*", 400), ("routes*", 300)])
def test_files_keep_to_their_size(pattern: str, limit: int) -> None:
    found = [*SOURCE.glob(f"*/{pattern}.py"), *SOURCE.glob(f"*/{pattern}/*.py")]

    assert found
    assert [str(path) for path in found if lines_of(path) > limit] == []


def test_conftest_only_lists_fixtures() -> None:
    assert lines_of(ROOT / "tests" / "conftest.py") <= 60


def test_the_transaction_commits_before_the_reply() -> None:
    dependency = transaction.Transaction.__metadata__[0]

    assert isinstance(dependency, Depends)
    assert dependency.scope == "function"
    assert dependency.dependency is transaction.transaction


def test_only_the_edge_commits() -> None:
    """Services flush; what must outlive a refusal goes through `db.session.keep`, which is easy to find."""
    commits = {
        str(path.relative_to(SOURCE))
        for path in modules()
        if re.search(r"\bsession\.commit\(|\btx\.commit\(", path.read_text())
    }

    assert commits == {"db/session.py", "web/transaction.py"}


def test_there_is_one_session_dependency() -> None:
    makers = [
        str(path.relative_to(SOURCE))
        for path in modules()
        if path.parent != SOURCE  # the command line opens transactions too, and has no reply to commit before
        if re.search(r"^async def \w+\(.*\) -> AsyncIterator\[AsyncSession\]", path.read_text(), re.MULTILINE)
    ]

    assert makers == ["web/transaction.py"]


def test_every_relationship_is_loaded_on_purpose() -> None:
    eager = [
        f"{mapper.class_.__name__}.{relation.key}"
        for mapper in Base.registry.mappers
        for relation in inspect_mapper(mapper.class_).relationships
        if relation.lazy != "raise"
    ]

    assert tables.metadata.tables
    assert eager == []


def test_no_import_hides_in_a_function() -> None:
    hidden = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in modules()
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]

    assert hidden == []


def test_routes_hold_no_sql_and_no_decisions() -> None:
    found = []
    for path in [*SOURCE.glob("*/routes.py"), *SOURCE.glob("*/routes/*.py")]:
        tree = ast.parse(path.read_text())
        found += [
            f"{path.relative_to(SOURCE)}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.If | ast.Try | ast.For | ast.While)
        ]
        assert "sqlalchemy" not in path.read_text(), path

    assert found == []


def families() -> Iterator[type[CremaError]]:
    def below(kind: type[CremaError]) -> Iterator[type[CremaError]]:
        for child in kind.__subclasses__():
            yield child
            yield from below(child)

    return below(CremaError)


def test_every_error_has_a_family_and_a_code_of_its_own() -> None:
    codes: dict[str, set[str]] = {}
    for error in families():
        if not inspect.getmodule(error).__name__.startswith("crema."):
            continue
        codes.setdefault(error.code, set()).add(error.__qualname__)
        assert any(issubclass(error, family) for family in problem.STATUS_OF)
        assert re.fullmatch(r"[a-z][a-z0-9_]*", error.code)

    assert {code: names for code, names in codes.items() if len(names) > 1} == {}


def test_the_clock_is_read_only_at_the_edge() -> None:
    readers = {
        str(path.relative_to(SOURCE))
        for path in modules()
        if re.search(r"datetime\.now\(|datetime\.utcnow\(|date\.today\(", path.read_text())
    }

    assert readers <= {"main.py", "worker.py", "cli.py", "startup.py"}


TAKES_SQL = {"text", "literal_column", "DDL", "SQL", "exec_driver_sql"}
RUNS_SQL = {"execute", "executemany", "scalar", "scalars", "stream", "fetch", "fetchrow", "fetchval"}


def built_statements(source: str) -> list[int]:
    """Give the lines where SQL is anything but a constant, or a statement of SQLAlchemy's that binds its values."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and node.args):
            continue
        name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
        statement = node.args[0]
        is_built = isinstance(statement, ast.JoinedStr | ast.BinOp) or (
            isinstance(statement, ast.Call) and getattr(statement.func, "attr", None) in {"format", "join", "replace"}
        )
        if (name in TAKES_SQL and not isinstance(statement, ast.Constant)) or (name in RUNS_SQL and is_built):
            found.append(node.lineno)
    return found


def test_f4_no_statement_is_built_of_text() -> None:
    assert {path: lines for path in modules() if (lines := built_statements(path.read_text()))} == {}


@pytest.mark.parametrize(
    "planted",
    [
        'text(f"SELECT * FROM users WHERE name = {name}")',
        "sqlalchemy.text(statement)",
        'literal_column("name || " + suffix)',
        'session.execute("SELECT {}".format(name))',
        'connection.exec_driver_sql("SELECT %s" % name)',
        "await connection.fetch(f'SELECT {name}')",
    ],
)
def test_f4_a_statement_built_of_text_would_be_found(planted: str) -> None:
    assert built_statements(planted) == [1]


def test_s6_nothing_that_matters_waits_in_memory() -> None:
    """A background task of the framework dies with its process; what must happen goes through the outbox."""
    assert [path for path in modules() if "BackgroundTask" in path.read_text()] == []


def test_s10_every_dependency_is_locked_by_its_hash() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    unhashed = [
        package["name"]
        for package in lock["package"]
        if package["name"] != "crema"
        for file in [*package.get("wheels", []), package.get("sdist", {"hash": "sha256:"})]
        if not file.get("hash", "").startswith("sha256:")
    ]

    assert len(lock["package"]) > 1
    assert unhashed == []

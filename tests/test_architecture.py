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


def commits_in(source: str) -> Iterator[int]:
    """Give the lines that commit a session or a transaction, whatever it is called; a call of a function doesn't."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "commit":
            yield node.lineno


def test_only_the_edge_commits() -> None:
    """Services flush; what must outlive a refusal goes through `db.session.commit_now`, which is easy to find."""
    commits = {str(path.relative_to(SOURCE)) for path in modules() if any(commits_in(path.read_text()))}

    assert commits == {"db/driver.py", "db/schema.py", "db/session.py", "web/transaction.py"}


def test_a_commit_by_another_name_would_be_found() -> None:
    assert [*commits_in("async def act(work):\n    await work.commit()")] == [2]


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


def decisions_in(source: str) -> Iterator[int]:
    """Give the lines of what a route leaves to others: branches, loops, refusals, and memory between requests."""
    for node in ast.walk(ast.parse(source)):
        is_branch = isinstance(node, ast.If | ast.Try | ast.For | ast.While | ast.Match | ast.Raise)
        is_cache = isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node).split(".")[-1] in CACHES
        if is_branch or is_cache:
            yield node.lineno


CACHES = {"cache", "lru_cache", "cached_property"}
KEPT_IN_ROUTES = {"menu/routes/categories.py", "shops/routes.py"}
"""Documents written once for all who ask; see the decision records 8 and 10."""


def test_routes_hold_no_sql_and_no_decisions() -> None:
    found = []
    for path in [*SOURCE.glob("*/routes.py"), *SOURCE.glob("*/routes/*.py")]:
        found += [f"{path.relative_to(SOURCE)}:{line}" for line in decisions_in(path.read_text())]
        assert "sqlalchemy" not in path.read_text(), path

    assert [place for place in found if place.split(":")[0] not in KEPT_IN_ROUTES] == []


@pytest.mark.parametrize(
    "planted", ["if x: pass", "@lru_cache\ndef f(): pass", "raise ValueError", "match x:\n case 1: pass"]
)
def test_a_decision_in_a_route_would_be_found(planted: str) -> None:
    assert [*decisions_in(planted)]


def application_states_in(source: str) -> Iterator[int]:
    """Give the lines that read or set an attribute of the application's `state`, which no type describes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr == "state":
            holder = node.value
            name = holder.slice if isinstance(holder, ast.Subscript) else holder
            text = name.value if isinstance(name, ast.Constant) else ast.unparse(name).split(".")[-1]
            if str(text).endswith(("app", "application")):
                yield node.lineno


def test_the_state_of_the_application_is_typed() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for folder in ("src", "tests", "tools", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if any(application_states_in(path.read_text()))
    }

    assert readers == {"src/crema/web/state.py"}


@pytest.mark.parametrize(
    "planted",
    [
        "app.state.clock",
        "request.app.state.clock()",
        "scope['app'].state.x = 1",
        "state = own_app.state",
        "x.application.state",
    ],
)
def test_an_untyped_state_would_be_found(planted: str) -> None:
    assert [*application_states_in(planted)] == [1]


LONGEST_FUNCTION = 40


def long_functions_in(source: str) -> Iterator[str]:
    """Give the names of functions that don't fit on a screen; docstrings, comments and empty lines don't count."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        documented = range(node.body[0].lineno, node.body[0].end_lineno + 1) if ast.get_docstring(node) else ()
        code = [
            number
            for number in range(node.lineno, node.end_lineno + 1)
            if number not in documented and lines[number - 1].strip() and not lines[number - 1].lstrip().startswith("#")
        ]
        if len(code) > LONGEST_FUNCTION:
            yield node.name


def test_functions_fit_on_a_screen() -> None:
    found = {
        f"{path.relative_to(SOURCE)}: {name}" for path in modules() for name in long_functions_in(path.read_text())
    }

    assert found == set()


@pytest.mark.parametrize(("statements", "found"), [(39, []), (40, ["planted"])])
def test_a_long_function_would_be_found(statements: int, found: list[str]) -> None:
    planted = 'async def planted():\n    """Do much."""\n\n    # why\n' + "    act()\n" * statements

    assert [*long_functions_in(planted)] == found


def private_names_in(source: str) -> Iterator[str]:
    """Give what is imported of others' private modules, and their private names."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{each.name}" for each in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] not in ("crema", "_typeshed", "__future__") and any(part.startswith("_") for part in parts):
                yield name


UNDOCUMENTED = {"Dependant", "request_params_to_args", "solve_dependencies", "get_dependant", "middleware_stack"}


def test_nothing_leans_on_private_names_of_libraries() -> None:
    private = [
        f"{path.relative_to(SOURCE)}: {name}" for path in modules() for name in private_names_in(path.read_text())
    ]
    undocumented = [
        f"{path.relative_to(SOURCE)}: {name}"
        for path in modules()
        for name in UNDOCUMENTED
        if re.search(rf"\bimport\b.*\b{name}\b|\.{name}\b", path.read_text())
    ]

    assert private == []
    assert undocumented == []


@pytest.mark.parametrize(
    "planted", ["from fastapi._compat import ModelField", "import starlette._utils", "from x import _y"]
)
def test_a_private_name_would_be_found(planted: str) -> None:
    assert [*private_names_in(planted)]


def test_domains_run_no_files_and_load_no_modules() -> None:
    domains = [*SOURCE.glob("*/domain.py"), *SOURCE.glob("*/domain/*.py"), *SOURCE.glob("core/*.py")]
    loading = re.compile(r"\brunpy\b|\bimportlib\b|\bpkgutil\b|\bopen\(|\bread_text\(")

    assert domains
    assert [path.name for path in domains if loading.search(path.read_text())] == []


def test_error_classes_have_names_of_their_own() -> None:
    names = [error.__name__ for error in families() if error.__module__.startswith("crema.")]

    assert [name for name in names if names.count(name) > 1] == []


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
        codes.setdefault(error.code, set()).add(f"{error.__module__}.{error.__qualname__}")
        assert any(issubclass(error, family) for family in problem.STATUS_OF)
        assert re.fullmatch(r"[a-z][a-z0-9_]*", error.code)

    assert {code: names for code, names in codes.items() if len(names) > 1} == {}


def test_the_clock_is_read_only_at_the_edge() -> None:
    readers = {
        str(path.relative_to(SOURCE))
        for path in modules()
        if re.search(r"datetime\.now\(|datetime\.utcnow\(|date\.today\(", path.read_text())
    }

    assert readers <= {"state.py", "worker.py", "cli.py", "startup.py"}


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


READ_IN_A_TRANSACTION = {
    "see_cart": "makes the cart where there is none",
    "export_menu": "one state of the whole menu",
    "list_modifier_groups": "asked by editors only; still in a session",
    "see_modifier_group": "the same",
    "list_assignees": "asked by staff only; still in a session",
    "list_notes": "the same",
    "fetch_attachment": "the same",
    "sum_sales": "one state of all orders",
    "mailbox": "development only",
    "mailbox_as_json": "development only",
}
"""GETs that take a transaction, with the reason. A new one needs a reason, too."""


def test_a_get_takes_a_reader_and_no_transaction() -> None:
    found = set()
    for path in [*SOURCE.glob("*/routes.py"), *SOURCE.glob("*/routes/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.AsyncFunctionDef):
                continue
            gets = [each for each in node.decorator_list if ast.unparse(each).startswith("router.get(")]
            taken = {ast.unparse(each.annotation) for each in node.args.args if each.annotation}
            if gets and taken & {"Transaction", "Writes"}:
                found.add(node.name)

    assert found == READ_IN_A_TRANSACTION.keys()

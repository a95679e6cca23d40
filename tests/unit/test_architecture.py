"""The rules of the house that a machine can check: who imports whom, who prints, what is written nowhere."""

import ast
import re
import sys
from collections.abc import Iterator

import pytest

from dropwatch.names import toml
from dropwatch.resources import resource_dir

PACKAGE = resource_dir("bpf").parent / "dropwatch"
MODULES = sorted(PACKAGE.rglob("*.py"))
BY_NAME = {str(path.relative_to(PACKAGE)): path for path in MODULES}

# Top to bottom. A room imports itself and what stands below it; those on one line are strangers to each other.
LAYERS = (
    {"cli", "testing"},
    {"watch"},
    {"run"},
    {"probe", "match", "causes", "explain", "recording", "render"},
    {"enrich", "aggregate"},
    {"packet", "host", "pcap"},
    {"kernel"},
    {"wire"},
    {"names", "privilege"},
    {"model"},
    {"errors", "resources"},
)
LOOSE = {"__init__.py", "errors.py", "resources.py"}
DEPENDENCIES = {
    "bcc",
    "click",
    "google",
    "jinja2",
    "markupsafe",
    "opentelemetry",
    "prometheus_client",
    "tomli",
}
MAY_IMPORT_MCP = "cli/agents/"  # with what the SDK brings
MAY_IMPORT_PYTEST = {"testing"}
FOR_PROGRAMS = {"errors", "model", "run"}  # what `from dropwatch import ...` gives
MAY_IMPORT_BCC = {"probe/programs/compiler.py"}
MAY_PRINT = {"cli", "render"}
MAY_CHANGE_DIRECTORY = {"probe/programs/compiler.py"}  # to bpf/, so that BCC includes nothing of the caller's
LONGEST_FILE = 340
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "base"}

modules = pytest.mark.parametrize("name", BY_NAME)


def room(name: str) -> str:
    """`probe` for probe/tracer.py, `errors` for errors.py."""
    return name.partition("/")[0].removesuffix(".py")


def height(name: str) -> int:
    found = [len(LAYERS) - at for at, layer in enumerate(LAYERS) if name in layer]
    assert found, f"dropwatch/{name} stands nowhere: put it into LAYERS"
    return found[0]


def tree(name: str) -> ast.Module:
    return ast.parse(BY_NAME[name].read_text(encoding="utf-8"))


def imported(name: str) -> Iterator[str]:
    """Full names of modules and of what is taken from them; also inside functions and for type checking only."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def for_types_only(name: str) -> set[str]:
    """What only mypy imports, which has it."""
    return {
        statement.module or ""
        for node in ast.walk(tree(name))
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        if isinstance(statement, ast.ImportFrom)
    } & {"typing_extensions"}


def own_rooms(name: str) -> set[str]:
    """Rooms of dropwatch that a module imports from."""
    parts = [full.split(".") for full in imported(name)]
    return {
        steps[1]
        for steps in parts
        if steps[0] == "dropwatch" and len(steps) > 1 and steps[1] != "__version__"
    }


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 30
    assert own_rooms("probe/tracer.py") >= {"wire", "kernel", "model"}


@modules
def test_imports_go_down_only(name: str) -> None:
    if name == "__init__.py":
        assert own_rooms(name) <= FOR_PROGRAMS
        return
    mine = room(name)
    up = {other for other in own_rooms(name) - {mine} if height(other) >= height(mine)}
    assert not up, f"dropwatch/{name} imports {', '.join(sorted(up))}"


def test_nothing_is_loose() -> None:
    assert {name for name in BY_NAME if "/" not in name} == LOOSE


def places(name: str) -> set[str]:
    """Files of dropwatch that a module imports from: `host/netns/netns.py`."""
    found = set()
    for full in imported(name):
        steps = full.split(".")[1:]
        for length in range(len(steps), 0, -1):
            path = "/".join(steps[:length])
            if f"{path}.py" in BY_NAME or f"{path}/__init__.py" in BY_NAME:
                found.add(f"{path}.py" if f"{path}.py" in BY_NAME else f"{path}/__init__.py")
                break
    return found


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """The names of a circle in the arrows, in their order; empty if there is none."""
    done: set[str] = set()

    def walk(here: str, road: list[str]) -> list[str]:
        if here in road:
            return [*road[road.index(here) :], here]
        if here in done:
            return []
        for there in sorted(arrows.get(here, ())):
            if found := walk(there, [*road, here]):
                return found
        done.add(here)
        return []

    return next((found for start in sorted(arrows) if (found := walk(start, []))), [])


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_no_file_imports_in_a_circle() -> None:
    assert not circle({name: places(name) - {name} for name in BY_NAME})


@pytest.mark.parametrize("name", sorted({room(name) for name in BY_NAME if "/" in name}))
def test_no_smaller_room_imports_in_a_circle(name: str) -> None:
    """Inside a room too, a folder stands above or below another; a file of the room counts as one."""

    def part(path: str) -> str:
        return path.split("/")[1]

    arrows: dict[str, set[str]] = {}
    for path in BY_NAME:
        if path.startswith(f"{name}/"):
            inside = {part(other) for other in places(path) if other.startswith(f"{name}/")}
            arrows.setdefault(part(path), set()).update(inside - {part(path)})
    assert not circle(arrows)


@modules
def test_only_the_promised_dependencies(name: str) -> None:
    foreign = {full.partition(".")[0] for full in imported(name)} - sys.stdlib_module_names - {"dropwatch"}
    foreign -= for_types_only(name)
    may = {"pytest"} if room(name) in MAY_IMPORT_PYTEST else set()
    may |= {"anyio", "mcp", "pydantic"} if name.startswith(MAY_IMPORT_MCP) else set()
    assert foreign <= DEPENDENCIES | may
    if name not in MAY_IMPORT_BCC:
        assert "bcc" not in foreign


def prints(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="print")):
            return True
        case ast.Attribute(value=ast.Name(id="click"), attr="echo" | "secho" | "echo_via_pager"):
            return True
        case ast.Attribute(value=ast.Name(id="sys"), attr="stdout" | "stderr" | "__stdout__" | "__stderr__"):
            return True
    return False


@modules
def test_only_the_face_prints(name: str) -> None:
    if room(name) not in MAY_PRINT:
        found = [node.lineno for node in ast.walk(tree(name)) if prints(node) and isinstance(node, ast.expr)]
        assert not found, f"dropwatch/{name} prints in line {found}"


def uses_current_directory(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(attr="cwd" | "getcwd" | "getcwdb" | "curdir" | "abspath" | "chdir" | "fchdir"):
            return True
        case ast.Attribute(value=ast.Name(id="sys"), attr="path"):
            return True
        case ast.Call(
            func=ast.Name(id="Path" | "open") | ast.Attribute(attr="open" | "CDLL"),
            args=[ast.Constant(value=str(first)), *_],
        ):
            is_library = re.fullmatch(r"lib\w+\.so(\.\d+)*", first) is not None
            return not first.startswith("/") and not is_library and first not in OPEN_MODES
    return False


OPEN_MODES = {"r", "rb", "w", "wb", "a", "ab", "x", "xb"}  # path.open("rb")


@modules
def test_nothing_of_the_current_directory_is_trusted(name: str) -> None:
    """It may belong to anybody, and the program runs as root."""
    if name not in MAY_CHANGE_DIRECTORY:
        found = [
            node.lineno
            for node in ast.walk(tree(name))
            if uses_current_directory(node) and isinstance(node, ast.expr)
        ]
        assert not found, f"dropwatch/{name}, line {found}"


@modules
def test_rooms_are_small_and_say_what_they_are_for(name: str) -> None:
    text = BY_NAME[name].read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_FILE, f"{text.count(chr(10))} lines"
    docstring = ast.get_docstring(tree(name))
    assert docstring, "the first line says what the room is for"
    assert text.startswith('"""'), "in the first line"
    assert docstring.split("\n")[0].rstrip().endswith((".", "?")), "in a sentence"
    assert not EMPTY_NAMES & set(re.split(r"[/_.]", name))


@modules
def test_dataclasses_are_the_cheap_ones(name: str) -> None:
    """A run defines 150 of them before it is ready."""
    if name != "model/dataclass.py":
        assert "dataclasses.dataclass" not in set(imported(name)), "dropwatch.model.dataclass has one"


SOURCES = sorted(
    path
    for directory in (PACKAGE, resource_dir("bpf"), resource_dir("symbols"))
    for path in directory.rglob("*")
    if path.suffix in {".py", ".c", ".h", ".toml"}
)


def test_no_number_of_a_drop_reason_is_written_down() -> None:
    """They differ from kernel to kernel. Neither `2: "NO_SOCKET"` nor `NO_SOCKET = 2`, for any reason we know."""
    known = toml.loads((resource_dir("symbols") / "reasons.toml").read_text(encoding="utf-8"))
    names = "|".join(sorted(map(re.escape, known), key=len, reverse=True))
    before = re.compile(rf"""\b(0x)?\d+\s*[:=,]\s*["']?(SKB_DROP_REASON_\w+|[A-Z_]*DROP\b|(?:{names})\b)""")
    after = re.compile(rf"""\b(SKB_DROP_REASON_\w+|(?:SKB_DROP_REASON_)?(?:{names}))["']?\s*[:=]\s*(0x)?\d""")
    assert before.search('{2: "NO_SOCKET"}')
    assert after.search("SKB_DROP_REASON_NO_SOCKET = 2")
    for path in SOURCES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert not before.search(line), f"{path}:{number}: {line}"
            assert not after.search(line), f"{path}:{number}: {line}"


def test_no_kernel_version_decides_anything() -> None:
    """Features are tried. Distributions take changes back into old versions, and reorder them."""
    asks = re.compile(
        r"\b(LINUX_VERSION_CODE|KERNEL_VERSION|platform\.release|platform\.uname|os\.uname|utsname)\b"
    )
    found = {path.name for path in SOURCES if asks.search(path.read_text(encoding="utf-8"))}
    assert found <= {"version.h", "facts.py"}, "BCC wants the first to be there, `whydrop check` shows it"


@pytest.mark.parametrize("name", [path.name for path in sorted(resource_dir("bpf").glob("*.[ch]"))])
def test_programs_read_kernel_memory_explicitly(name: str) -> None:
    """BCC turns `skb->len` into a read at an offset of headers, which there are none of."""
    text = re.sub(r"/\*.*?\*/", "", (resource_dir("bpf") / name).read_text(), flags=re.S)
    assert not re.search(r"\bstruct (sk_buff|net_device|sock|net|xfrm_state|dst_entry) *\*", text)

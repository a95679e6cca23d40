"""The server: lists the tools, runs one at a call, and ends with its client."""

import json
import os
import signal
from functools import partial
from typing import Any

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp.types import Tool as Described
from pydantic import ValidationError

from dropwatch import __version__
from dropwatch.cli.agents import answer, child
from dropwatch.cli.agents.tools import DATA, TOOLS, Explain, Tool
from dropwatch.errors import CannotRunHere, WhydropError, WrongUsage
from dropwatch.names.foreign import foreign, printable, quoted

_AT_ONCE = 4
_LONGEST_ERROR = 1000
_ERROR, _HINT, _WARNING = "whydrop: error: ", "hint: ", "whydrop: warning: "
_MOST_WARNINGS = 10
_INSTRUCTIONS = f"""whydrop says why, where and by which line of the configuration the Linux kernel dropped a packet.
live watches this host (root), replay reads a recording, last what the flight recorder kept, diff compares two
recordings, explain tells what a cause means, check what works here. Cite `evidence`, `object` (the rule as written) and
`where`, and keep to `cause.confidence`: only `certain` is certain. No tool changes anything: a `fix` is for a person to
run. {DATA}"""


def serve() -> None:
    """Until the client closes its end, or a signal comes. Nothing else writes to standard output meanwhile."""
    try:
        anyio.run(_serve)
    except Exception as error:
        if not _is_closed_pipe(error):
            raise


async def _serve() -> None:
    limiter = anyio.CapacityLimiter(_AT_ONCE)
    server: Server[dict[str, Any]] = Server(
        "whydrop",
        version=__version__,
        instructions=_INSTRUCTIONS,
        on_list_tools=_list,
        on_call_tool=partial(_call, limiter),
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_leave_on_a_signal)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())
        tasks.cancel_scope.cancel()


async def _leave_on_a_signal() -> None:
    """Without the usual end: a thread waits for standard input, and cannot be told that it is over."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async for number in signals:
            await child.end_all()
            os._exit(128 + number)


def _is_closed_pipe(error: BaseException) -> bool:
    """The client has gone; what tasks raise comes in groups."""
    inside = getattr(error, "exceptions", None)
    return all(map(_is_closed_pipe, inside)) if inside else isinstance(error, BrokenPipeError)


async def _list(context: object, params: PaginatedRequestParams | None) -> ListToolsResult:
    return ListToolsResult(tools=[_described(name, kind) for name, kind in TOOLS.items()])


def _described(name: str, kind: type[Tool]) -> Described:
    schema = kind.model_json_schema()
    about = " ".join(schema.pop("description").split())
    return Described(
        name=name,
        description=about if kind is Explain else f"{about} {DATA}",
        input_schema=schema,
        annotations=ToolAnnotations(
            read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    )


async def _call(
    limiter: anyio.CapacityLimiter, context: object, params: CallToolRequestParams
) -> CallToolResult:
    kind = TOOLS.get(params.name)
    if kind is None:
        raise MCPError(
            code=INVALID_PARAMS, message=f"there is no tool of this name; there are {', '.join(TOOLS)}"
        )
    try:
        async with limiter:
            return _result(await _answer(_asked(kind, params.arguments or {})))
    except WhydropError as error:
        return _failed(error)
    except Exception as error:  # whatever it is: no client sees Python's words for it
        return _failed(
            WhydropError(f"this should not have happened: {type(error).__name__}", "please report it")
        )


def _asked(kind: type[Tool], given: dict[str, Any]) -> Tool:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = ".".join(str(part) for part in wrong["loc"])
        message = f"{printable(name)[:100]}: {wrong['msg'][:1].lower()}{wrong['msg'][1:]}"
        raise WrongUsage(message, "the tool's input schema says what it takes") from error


async def _answer(asked: Tool) -> dict[str, Any]:
    words = asked.words()
    command = {"command": " ".join(["whydrop", *(quoted(foreign(word)) for word in words)])}
    if isinstance(asked, Explain):
        text: list[bytes] = []
        refuse(asked, *await child.run(words, asked.seconds(), text.append))
        return command | answer.page(b"".join(text).decode(errors="replace"))
    taken = answer.Answer(getattr(asked, "limit", 0))
    code, said = await child.run(words, asked.seconds(), taken.take)
    told: dict[str, Any] = {}
    try:
        refuse(asked, code, said)
        if not taken.is_whole:
            raise WhydropError("its answer has no end", "run the command in a shell to see why")
    except WhydropError as error:
        if not taken.has_findings:
            raise
        told["incomplete"] = error.message[:_LONGEST_ERROR]  # of a damaged recording: what comes before that
    lines = said.splitlines()
    if warnings := [printable(line.removeprefix(_WARNING)) for line in lines if line.startswith(_WARNING)]:
        told["warnings"] = warnings[:_MOST_WARNINGS]
    return answer.fitted(command | {"about_strings": DATA} | told | taken.made())


def refuse(asked: Tool, code: int, said: str) -> None:
    """What whydrop itself says is wrong."""
    lines = said.splitlines()
    told = [at for at, line in enumerate(lines) if line.startswith(_ERROR)]
    if code in asked.fine and not told:
        return
    if not told:
        raise WhydropError(f"whydrop ended with exit code {code}", "run the command in a shell to see why")
    message = lines[told[-1]].removeprefix(_ERROR)
    hint = "".join(lines[told[-1] + 1 : told[-1] + 2]).removeprefix(_HINT)
    if asked.needs_root and code == CannotRunHere.exit_code:
        hint += "; for this tool the server itself is started so: sudo whydrop mcp"
    raise WhydropError(message, hint)


def _result(found: dict[str, Any]) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=json.dumps(found))], structured_content=found)


def _failed(error: WhydropError) -> CallToolResult:
    told = {"error": error.message[:_LONGEST_ERROR], "hint": error.hint[:_LONGEST_ERROR]}
    text = f"error: {told['error']}\nhint: {told['hint']}"
    return CallToolResult(content=[TextContent(text=text)], structured_content=told, is_error=True)

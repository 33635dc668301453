"""A server written with FastMCP, as most are."""

import asyncio
from decimal import Decimal

from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError

server = FastMCP("library")


@server.tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool
async def slow_echo(number: int) -> dict[str, int]:
    """Give the number back a little later, the higher ones earlier."""
    await asyncio.sleep((50 - number) / 500)
    return {"number": number}


@server.tool
def exact(amount: Decimal) -> dict[str, str]:
    """Show an amount as it arrived."""
    return {"amount": str(amount)}


@server.tool
def fail() -> str:
    """Fail."""
    raise ToolError("there is no such charge")


@server.tool
async def sample(ctx: Context) -> str:
    """Try to use the caller's model."""
    answer = await ctx.sample("say something")
    return str(answer)


@server.tool
async def elicit(ctx: Context) -> str:
    """Try to ask the caller's user."""
    return str(await ctx.elicit("your password?", response_type=str))


server.run(show_banner=False)

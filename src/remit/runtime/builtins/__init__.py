"""The built-in tools: what stands behind the connection `remit`, carried out in the worker's own process.

They come along the same road as every other call. What they write carries the action's id, so that doing one again
after a crash changes nothing.
"""

from remit.runtime.builtins.registry import Builtins, Invocation

__all__ = ["Builtins", "Invocation"]

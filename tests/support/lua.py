"""Runs health checks and actions as Argo CD does, in a real Lua 5.1.

This follows `util/lua/lua.go` of Argo CD (v3.5.7). Each run has a new interpreter with
the libraries base, package and table. `os` is available by `require("os")` only, and
has only `time` and `date`. Argo CD runs gopher-lua, a Lua 5.1 in Go; this one is in C.
"""

from datetime import UTC, datetime
from typing import Any

from lupa import lua51

Json = dict[str, Any]

HEALTH = ("Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
"""The current time of the actions, fixed so that results can be compared."""

# Strings have methods through a metatable; without it `("x"):upper()` fails, as it does
# in Argo CD.
_RESTRICT = """
local allowed = {
  _G = true, _VERSION = true, assert = true, collectgarbage = true, dofile = true,
  error = true, getfenv = true, getmetatable = true, ipairs = true, load = true,
  loadfile = true, loadstring = true, module = true, newproxy = true, next = true,
  package = true, pairs = true, pcall = true, print = true, rawequal = true,
  rawget = true, rawset = true, require = true, select = true, setfenv = true,
  setmetatable = true, table = true, tonumber = true, tostring = true, type = true,
  unpack = true, xpcall = true,
}
local now, real_date, real_time, unset = ..., os.date, os.time, debug.setmetatable
unset("", nil)
for name in pairs(_G) do
  if not allowed[name] then
    _G[name] = nil
    package.loaded[name] = nil
  end
end
package.loaded.os, package.path, package.cpath = nil, "", ""
package.preload.os = function()
  return {
    time = function() return now end,
    date = function(format) return real_date(format, now) end,
  }
end
"""


class LuaTable(TypeError):
    """A script returned something other than a table, which Argo CD rejects."""


def health(script: str, body: Json) -> Json:
    """Return the result of a health script for an object: status and messages."""
    found = _to_python(_run(script, body))
    assert isinstance(found, dict), found
    assert set(found) <= {"status", "message", "deletionMessage"}, found
    assert found["status"] in HEALTH, found
    return found


def discover(script: str, body: Json) -> dict[str, bool]:
    """Return the actions that an object offers, and whether each is disabled."""
    found = _to_python(_run(script, body))
    return {name: action.get("disabled", False) for name, action in found.items()}


def act(script: str, body: Json) -> Json:
    """Return the object as an action changes it."""
    changed = _mend(_to_python(_run(script, body)), body)
    assert isinstance(changed, dict), changed
    return changed


def _run(script: str, body: Json) -> Any:
    lua = lua51.LuaRuntime(register_eval=False, register_builtins=False)
    lua.execute(_RESTRICT, int(NOW.timestamp()))
    lua.globals()["obj"] = lua.table_from(body, recursive=True)
    returned = lua.execute(script)
    if lua51.lua_type(returned) != "table":
        raise LuaTable(f"expect table output from Lua script, not {returned!r}")
    return returned


def _to_python(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return value
    if len(value) or not list(value):
        # Argo CD's encoder, too, turns an empty table into an empty list.
        return [_to_python(item) for item in value.values()]
    return {key: _to_python(item) for key, item in value.items()}


def _mend(new: Any, old: Any) -> Any:
    """Restore the type of empty tables, as `cleanReturnedObj` of Argo CD does."""
    if isinstance(new, dict) and isinstance(old, dict):
        return {k: _mend(v, old[k]) if k in old else v for k, v in new.items()}
    if new == [] and isinstance(old, dict):
        return old
    if isinstance(new, list) and isinstance(old, list):
        pairs = zip(new, old, strict=False)
        return [_mend(n, o) for n, o in pairs] + new[len(old) :]
    return new

"""The circuit component's Python side: it serves the modules, mounts them, and takes what the reader chooses.

The browser imports index.js from the app's own address (app.py serves the folder js under `path`), with a path that
names the files' content, so that no browser keeps an older version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from pages.components.circuit.payload import pack

FOLDER = Path(__file__).parent
MODULES = FOLDER / "js"  # nothing else is served
KEY = "circuit"  # in the session, where a page has no other for it
CHOSEN = "chosen"  # the component's one value


@cache
def version() -> str:
    """What the files hold, as a short text for their address."""
    content = b"".join(path.read_bytes() for path in sorted(MODULES.glob("*.js")))
    return hashlib.sha256(content).hexdigest()[:12]


def route() -> Mount:
    """Where the app serves the modules."""
    return Mount(path(), StaticFiles(directory=MODULES), name="circuit component")


def path() -> str:
    """The modules' place on the server, below the base path that a deployment may have set."""
    base = str(st.get_option("server.baseUrlPath")).strip("/")
    return "/" + "/".join([*filter(None, [base]), "components", "circuit", version()])


def circuit(
    header: Mapping[str, object], arrays: Mapping[str, Any], on_chosen: Callable[[], None], key: str = KEY
) -> None:
    """Show two circuits; `on_chosen` is called when the reader has chosen something: see `chosen`."""
    _registered(path() + "/index.js")(key=key, data=pack(header, arrays), on_chosen_change=on_chosen)


def chosen(key: str = KEY) -> dict[str, Any]:
    """What the reader has chosen in the component, as index.js tells it; empty before the first choice."""
    value = st.session_state.get(key)
    return dict(value.get(CHOSEN) or {}) if value else {}


@cache
def _registered(module: str) -> Any:
    load = (
        f"const path = {module!r};\n"
        "export default async (component) => (await import(new URL(path, location.origin).href)).mount(component);\n"
    )
    return st.components.v2.component(
        "circuit", html=(FOLDER / "circuit.html").read_text(), css=(FOLDER / "circuit.css").read_text(), js=load
    )

"""A reader's session with a running app, without a browser: what the server takes, and nothing else.

Speaks Streamlit's own protocol over its websocket: asks for a page, chooses in the circuit component, waits for the
script to finish.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import ClientConnection, connect

PATIENCE = 120.0  # seconds


class Session:
    """A page of an app. `header` is what the circuit component was sent last, without its arrays."""

    def __init__(self, socket: ClientConnection, page: str, query: str) -> None:
        self.header: dict[str, Any] = {}
        self.size = 0  # bytes that the last run sent
        self.errors: list[str] = []
        self._socket, self._page, self._query = socket, page, query
        self._component = self._fragment = ""  # ids of the circuit component and of the fragment that it belongs to
        self._states: dict[str, WidgetState] = {}
        self._known: set[str] = set()  # hashes of messages that a browser would still have

    def open(self) -> float:
        """Show the page for the first time; seconds until its script has finished."""
        return self._rerun()

    def rest(self, k: int) -> float:
        """Tell the server that K rests, as the circuit component does; seconds until its fragment has run."""
        chosen = {**self.header["chosen"], "k": k, "whole": self.header["circuits"]}
        self._states[self._component] = WidgetState(id=self._component, json_value=json.dumps({"chosen": chosen}))
        return self._rerun(self._fragment)

    def _rerun(self, fragment: str = "") -> float:
        message = BackMsg()
        client = message.rerun_script
        client.page_name, client.query_string, client.fragment_id = self._page, self._query, fragment
        client.widget_states.widgets.extend(self._states.values())
        client.cached_message_hashes.extend(self._known)
        began = time.perf_counter()
        self._socket.send(message.SerializeToString())
        self.size = 0
        while not self._finished(self._socket.recv(timeout=PATIENCE)):
            pass
        return time.perf_counter() - began

    def _finished(self, raw: str | bytes) -> bool:
        self.size += len(raw)
        message = ForwardMsg.FromString(raw if isinstance(raw, bytes) else raw.encode())
        if message.metadata.cacheable:
            self._known.add(message.hash)
        if message.WhichOneof("type") == "page_info_changed":
            self._query = message.page_info_changed.query_string
        if message.WhichOneof("type") == "delta":
            element = message.delta.new_element
            if element.bidi_component.component_name.endswith("circuit"):
                self._component, self._fragment = element.bidi_component.id, message.delta.fragment_id
                self.header = _header(element.bidi_component.bytes)
            if element.WhichOneof("type") == "exception":
                self.errors.append(element.exception.message)
            if element.WhichOneof("type") == "alert" and element.alert.format == Alert.ERROR:
                self.errors.append(element.alert.body)
        return message.WhichOneof("type") == "script_finished"


def _header(payload: bytes) -> dict[str, Any]:
    """What pages/components/circuit/payload.py packed, without the arrays."""
    size = int.from_bytes(payload[:4], "little")
    return dict(json.loads(payload[4 : 4 + size]))


@contextmanager
def session(address: str, page: str, query: str) -> Iterator[Session]:
    """A new session at `page` (its name in the address) with the choices of `query`."""
    host = urlsplit(address).netloc
    with connect(f"ws://{host}/_stcore/stream", subprotocols=["streamlit"], max_size=None) as socket:  # type: ignore[list-item]
        yield Session(socket, page, query)

"""A reader's session with a running app, without a browser: what the server takes, and nothing else.

Speaks Streamlit's own protocol over its websocket: asks for a page, changes widgets, waits for the script to finish.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import ClientConnection, connect

PATIENCE = 120.0  # seconds


class Session:
    """A page of an app. `sliders` are the ids of its sliders by label, as of the last run."""

    def __init__(self, socket: ClientConnection, page: str, query: str) -> None:
        self.sliders: dict[str, str] = {}
        self.size = 0  # bytes that the last run sent
        self.errors: list[str] = []
        self._socket, self._page, self._query = socket, page, query
        self._states: dict[str, WidgetState] = {}
        self._known: set[str] = set()  # hashes of messages that a browser would still have

    def open(self) -> float:
        """Show the page for the first time; seconds until its script has finished."""
        return self._rerun()

    def slide(self, label: str, option: str) -> float:
        """Move the slider whose label begins so to an option; seconds until the script has finished."""
        widget = next(slider for name, slider in self.sliders.items() if name.startswith(label))
        state = WidgetState(id=widget)
        state.string_array_value.data.append(option)
        self._states[widget] = state
        return self._rerun()

    def _rerun(self) -> float:
        message = BackMsg()
        client = message.rerun_script
        client.page_name, client.query_string = self._page, self._query
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
        if message.WhichOneof("type") == "delta":
            element = message.delta.new_element
            if element.WhichOneof("type") == "slider":
                self.sliders[element.slider.label] = element.slider.id
            if element.WhichOneof("type") == "exception":
                self.errors.append(element.exception.message)
            if element.WhichOneof("type") == "alert" and element.alert.format == Alert.ERROR:
                self.errors.append(element.alert.body)
        return message.WhichOneof("type") == "script_finished"


@contextmanager
def session(address: str, page: str, query: str) -> Iterator[Session]:
    """A new session at `page` (its name in the address) with the choices of `query`."""
    host = urlsplit(address).netloc
    with connect(f"ws://{host}/_stcore/stream", subprotocols=["streamlit"], max_size=None) as socket:  # type: ignore[list-item]
        yield Session(socket, page, query)

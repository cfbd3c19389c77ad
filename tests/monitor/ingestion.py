"""The ingestion endpoint of Application Insights, on loopback: it takes everything, and keeps it."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

type Envelope = dict[str, Any]


class Ingestion:
    """`envelopes` is what came, `text` the same as it stood on the wire."""

    def __init__(self, port: int) -> None:
        endpoint = f"http://127.0.0.1:{port}/"
        key = "00000000-0000-0000-0000-000000000001"
        self.connection_string = f"InstrumentationKey={key};IngestionEndpoint={endpoint};LiveEndpoint={endpoint}"
        self.envelopes: list[Envelope] = []
        self.text = ""

    def take(self, body: bytes) -> int:
        found = json.loads(body)
        self.text += body.decode()
        self.envelopes += found
        return len(found)

    def of(self, kind: str) -> list[Envelope]:
        """The envelopes of one kind: `MetricData`, `MessageData`, `RemoteDependencyData`."""
        return [one for one in self.envelopes if one["data"]["baseType"] == kind]

    def metrics(self) -> list[tuple[str, dict[str, str], float]]:
        points = [(one["data"]["baseData"]["metrics"][0], one["data"]["baseData"]) for one in self.of("MetricData")]
        return [(point["name"], data["properties"], point["value"]) for point, data in points]


@contextmanager
def ingestion() -> Iterator[Ingestion]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken = here.take(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            answer = json.dumps({"itemsReceived": taken, "itemsAccepted": taken, "errors": []}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        here = Ingestion(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield here
        finally:
            server.shutdown()
            thread.join()

"""A file server on the loopback that cuts connections and changes its mind."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """A server on the loopback whose behaviour a test sets."""

    def __init__(self, content):
        self.content = content
        self.version = '"one"'
        self.type = "application/octet-stream"
        self.ranges = True
        self.cuts = []  # bytes after which the next connections are cut
        self.codes = []  # status codes of the next answers
        self.asked = []  # the Range header of each request

    def __enter__(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                server.asked.append(self.headers.get("Range"))
                if server.codes:
                    self.send_error(server.codes.pop(0))
                    return
                server.answer(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/file.h5ad"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def answer(self, handler):
        start, content = 0, self.content
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        if asked and self.ranges and handler.headers["If-Range"] == self.version:
            start = int(asked[1])
            if start >= len(content):
                handler.send_response(416)
                handler.send_header("Content-Range", f"bytes */{len(content)}")
                handler.end_headers()
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.send_header("Content-Type", self.type)
        handler.send_header("ETag", self.version)
        handler.end_headers()
        stop = start + self.cuts.pop(0) if self.cuts else len(content)
        handler.wfile.write(content[start:stop])

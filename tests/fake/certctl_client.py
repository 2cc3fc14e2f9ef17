"""A small client for the tests of the fake itself, and to look at it by hand."""

import http.client
import json
import socket
import ssl

from certctl_tls import SERVER_NAME


class Client:
    """One connection, kept alive; made again after an error. Answers are (status, headers, body), the
    names of headers in lower case."""

    def __init__(self, port, ca_file, secret=None, server_name=SERVER_NAME, timeout=10):
        self._context = ssl.create_default_context(cafile=ca_file)
        self._place = ("127.0.0.1", port)
        self._server_name = server_name
        self._timeout = timeout
        self._connection = None
        self.secret = secret

    def tls(self):
        sock = socket.create_connection(self._place, self._timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._context.wrap_socket(sock, server_hostname=self._server_name)

    def get(self, target, secret=None, method="GET", **headers):
        """`secret` over the client's own; "" is none. A header X_API_Key="..." is X-API-Key."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        secret = self.secret if secret is None else secret
        if secret:
            named.setdefault("Authorization", f"Bearer {secret}")
        if self._connection is None:
            connection = http.client.HTTPConnection(*self._place)
            connection.sock = self.tls()
            connection.auto_open = False
            self._connection = connection
        try:
            self._connection.request(method, target, headers=named)
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if answer.will_close:
            self.close()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, body

    def json(self, target, **named):
        status, _, body = self.get(target, **named)
        assert status == 200, (status, body)
        return json.loads(body)

    def rows(self, path, per_page=500, parameters=""):
        """All pages, one after the other, as they come: (rows, total of the last)."""
        rows, page = [], 1
        while True:
            said = self.json(f"{path}?page={page}&per_page={per_page}{parameters}")
            rows += said["data"] or []
            if len(said["data"] or []) < said["per_page"]:
                return rows, said["total"]
            page += 1

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

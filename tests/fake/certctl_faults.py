"""What goes wrong in the fake certctl when a test wants it to. A `path` of None means each path that
needs a key; any other means that path only."""

import contextlib
import dataclasses
import threading

METRICS = "/api/v1/metrics/prometheus"
FRAMINGS = ("length", "chunked", "chunk", "close", "whole")


@dataclasses.dataclass
class Answer:
    status: int
    body: bytes = b""
    content_type: str | None = "application/json"
    headers: tuple = ()
    left: int | None = None  # how many more times; None: always


class Faults:
    def __init__(self):
        self._changed = threading.Condition()
        self._clear()

    def _clear(self):
        self.database_down = False
        self._locked = set()
        self._slow = {}
        self._cuts = {}
        self._drops = {}
        self._answers = {}

    def heal(self):
        with self._changed:
            self._clear()
            self._changed.notify_all()

    # What a test asks for.

    def lock(self, path=None):
        """A lock on a table: requests are taken and hang, until unlock() or heal()."""
        with self._changed:
            self._locked.add(path)

    def unlock(self, path=None):
        with self._changed:
            self._locked.discard(path)
            self._changed.notify_all()

    @contextlib.contextmanager
    def locked(self, path=None):
        self.lock(path)
        try:
            yield
        finally:
            self.unlock(path)

    def slow(self, seconds, path=None):
        """That long before each answer; 0 ends it."""
        self._slow[path] = seconds

    def cut(self, count, framing="length", path=METRICS, end="close"):
        """Only the first `count` bytes of the body come, then the connection ends: with a "close" (a
        proper end of TLS) or a "reset". What the framing says of the body: "length": how long all of it
        is; "chunked": chunks, the last one is missing; "chunk": one chunk of all of it, which does not
        end; "close": nothing, its end is that of the connection; "whole": that these bytes are all.
        None as `count` ends it."""
        assert framing in FRAMINGS, framing
        if count is None:
            self._cuts.pop(path, None)
        else:
            self._cuts[path] = (count, framing, end)

    def answer(self, path, status, body=b"", content_type="application/json", headers=(),
               times=None):
        """This is what is said at the path, to anybody; `times` times, else until heal()."""
        body = body if isinstance(body, bytes) else body.encode()
        self._answers[path] = Answer(status, body, content_type, tuple(headers), times)

    def drop(self, path=None, times=None):
        """Requests are read, and the connection is reset."""
        self._drops[path] = times

    # What the server asks.

    def is_locked(self, path):
        return bool(self._locked & {None, path})

    def wait_unlocked(self, path, has_gone):
        """Until it is, or has_gone()."""
        with self._changed:
            while self.is_locked(path) and not has_gone():
                self._changed.wait(0.02)

    def seconds_for(self, path):
        return self._slow.get(path, self._slow.get(None, 0))

    def cut_for(self, path):
        return self._cuts.get(path)

    def answer_for(self, path):
        with self._changed:
            answer = self._answers.get(path)
            if answer is not None and answer.left is not None:
                answer.left -= 1
                if answer.left <= 0:
                    del self._answers[path]
            return answer

    def drops(self, path, keyed):
        with self._changed:
            for known in (path, None) if keyed else (path,):
                if known in self._drops:
                    left = self._drops[known]
                    if left is not None:
                        self._drops[known] = left - 1
                        if left <= 1:
                            del self._drops[known]
                    return True
        return False

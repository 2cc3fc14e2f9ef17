"""The lists of the fake certctl: pages, filters and orders, with the defects of the real ones."""

import collections
import random

from certctl_rows import seconds_of

DEFAULT_PER_PAGE = 50
MOST_PER_PAGE = 500

# Lists that say [] when they are empty; the others say null.
SAYS_EMPTY_LIST = ("certificates", "health_checks")
FILTERS = {
    "certificates": {"status": "status", "environment": "environment", "owner_id": "owner_id",
                     "team_id": "team_id", "issuer_id": "issuer_id",
                     "profile_id": "certificate_profile_id"},
    "jobs": {"status": "status", "type": "type"},
    "notifications": {"status": "status"},
    "discovered": {"status": "status", "agent_id": "agent_id"},
    "health_checks": {"status": "status"},
}
# parameter: (field, 1 for later than it, -1 for earlier)
DATE_FILTERS = {"expires_before": ("expires_at", -1), "expires_after": ("expires_at", 1),
                "created_after": ("created_at", 1), "updated_after": ("updated_at", 1)}
SORTS = {
    "notAfter": lambda row: row.expires,
    "createdAt": lambda row: row.created,
    "updatedAt": lambda row: seconds_of(row.said["updated_at"]),
    "commonName": lambda row: row.said["common_name"],
    "name": lambda row: row.said["name"],
    "status": lambda row: row.said["status"],
    "environment": lambda row: row.said.get("environment", ""),
}


def by_creation(row):
    return row.created


Order = collections.namedtuple("Order", "version rows key")


class Lists:
    """`ties` is how rows that are equal in the sort key come: "page", as the database gives them, each
    page's query in an order of its own but always the same one; "random", another one each time; "id"
    as nobody may rely on."""

    def __init__(self, state):
        self.state = state
        self.ties = "page"
        self._orders = {}

    def page(self, kind, asked):
        """The body, for parameters as a dict of the first value of each."""
        number = _number(asked.get("page"), 1, None)
        per_page = _number(asked.get("per_page"), DEFAULT_PER_PAGE, MOST_PER_PAGE)
        with self.state.lock:
            rows, total = self._rows(kind, asked, number, per_page)
        fields = None
        if kind == "certificates" and asked.get("fields"):
            fields = tuple(asked["fields"].split(","))
        data = b"[" + b",".join(row.text(fields) for row in rows) + b"]"
        if not rows and kind not in SAYS_EMPTY_LIST:
            data = b"null"
        if kind == "notifications":
            total = len(rows)  # certctl counts this page
        return b'{"data":%s,"total":%d,"page":%d,"per_page":%d}\n' % (data, total, number, per_page)

    def oldest(self, count):
        """What the summary is counted over, when it should be all certificates."""
        with self.state.lock:
            order = self._order("certificates", {}, "")
            return _slice(order, 0, count, "summary")

    def _rows(self, kind, asked, number, per_page):
        order = self._order(kind, asked, asked.get("sort", "") if kind == "certificates" else "")
        start = (number - 1) * per_page
        salt = {"page": f"{number} {per_page}", "random": str(random.random()), "id": None}[self.ties]
        return _slice(order, start, start + per_page, salt), len(order.rows)

    def _order(self, kind, asked, sort):
        equal = tuple((field, asked[name]) for name, field in FILTERS.get(kind, {}).items()
                      if asked.get(name))
        dated = ()
        if kind == "certificates":
            dated = tuple((*DATE_FILTERS[name], asked[name]) for name in DATE_FILTERS
                          if asked.get(name))
        known_as = (kind, equal, dated, sort)
        order = self._orders.get(known_as)
        version = self.state.versions[kind]
        if order is None or order.version != version:
            if len(self._orders) > 100:
                self._orders.clear()
            order = self._orders[known_as] = self._made(kind, equal, dated, sort, version)
        return order

    def _made(self, kind, equal, dated, sort, version):
        rows = list(self.state.rows[kind].values())
        for field, wanted in equal:
            rows = [row for row in rows if row.said.get(field) == wanted]
        for field, side, text in dated:
            rows = [row for row in rows if _is_on_side(row, field, side, text)]
        key = SORTS.get(sort.lstrip("-"))
        descending = sort.startswith("-")
        if key is None:
            key, descending = by_creation, kind != "certificates"
        rows.sort(key=lambda row: row.id)
        rows.sort(key=key, reverse=descending)
        return Order(version, rows, key)


def _number(text, otherwise, most):
    """Junk and what is out of range become the default, without a word."""
    try:
        number = int(text)
    except (TypeError, ValueError):
        return otherwise
    if number < 1 or (most is not None and number > most):
        return otherwise
    return number


def _is_on_side(row, field, side, text):
    try:
        wanted = seconds_of(text)
    except ValueError:
        return True
    at = row.expires if field == "expires_at" else seconds_of(row.said[field])
    return at > wanted if side > 0 else at < wanted


def _slice(order, start, end, salt):
    """rows[start:end], with the rows that are equal in the key, at both ends, shuffled by `salt`."""
    rows, key = order.rows, order.key
    end = min(end, len(rows))
    if start >= end:
        return []
    if salt is None:
        return rows[start:end]
    first, last = start, end
    while first > 0 and key(rows[first - 1]) == key(rows[start]):
        first -= 1
    while last < len(rows) and key(rows[last]) == key(rows[end - 1]):
        last += 1
    window = rows[first:last]
    head = start - first
    while head < len(window) and key(window[head]) == key(window[0]):
        head += 1
    tail = end - 1 - first
    while tail > 0 and key(window[tail - 1]) == key(window[-1]):
        tail -= 1
    dice = random.Random(salt)
    for group in {(0, head), (tail, len(window))}:
        mixed = window[slice(*group)]
        dice.shuffle(mixed)
        window[slice(*group)] = mixed
    return window[start - first:end - first]

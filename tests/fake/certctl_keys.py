"""Who may ask the fake certctl for what, and how often."""

import dataclasses
import json
import secrets
import threading
import time

# What the role r-viewer has: each key that is not an administrator's gets it when certctl starts.
VIEWER = tuple(f"{what}.read" for what in (
    "agent", "approval", "audit", "cert", "digest", "discovery", "healthcheck", "issuer", "job",
    "metrics", "network_scan", "notification", "owner", "policy", "profile", "stats", "target",
    "team", "verification"))
METRICS_ONLY = ("metrics.read",)
ADMIN = tuple(sorted((*VIEWER, "auth.role.assign", "cert.write", "cert.revoke", "job.write")))


@dataclasses.dataclass(frozen=True)
class Key:
    name: str
    secret: str
    permissions: tuple
    admin: bool = False
    roles: tuple = ()

    def _effective(self):
        return [{"permission": one, "scope_type": "global"} for one in sorted(self.permissions)]

    def me(self):
        """What /api/v1/auth/me says of it."""
        return {"actor_id": self.name, "actor_type": "APIKey", "tenant_id": "t-default",
                "admin": self.admin, "roles": list(self.roles),
                "effective_permissions": self._effective()}

    def check(self):
        """What /api/v1/auth/check says of it."""
        return {"actor_id": self.name, "actor_type": "APIKey", "admin": self.admin,
                "admin_via_role": False, "effective_permissions": self._effective(),
                "roles": list(self.roles), "status": "authenticated", "tenant_id": "t-default",
                "user": self.name}


class Keys:
    """At first `viewer`, `metrics-only`, `none` (no permission) and `admin`. Two keys of one name are
    both good, as when one is rotated."""

    def __init__(self):
        self._lock = threading.Lock()
        self._by_secret = {}
        self.add("viewer", roles=("r-viewer",))
        self.add("metrics-only", METRICS_ONLY, roles=("role-metrics",))
        self.add("none", ())
        self.add("admin", ADMIN, admin=True, roles=("r-admin",))

    def add(self, name, permissions=VIEWER, admin=False, secret=None, roles=()):
        """Its secret, which is what a key file holds."""
        key = Key(name, secret or secrets.token_hex(24), tuple(permissions), admin, tuple(roles))
        with self._lock:
            self._by_secret[key.secret] = key
        return key.secret

    def revoke(self, name=None, secret=None):
        """All keys of the name, or the one with the secret."""
        with self._lock:
            self._by_secret = {known: key for known, key in self._by_secret.items()
                               if key.name != name and known != secret}

    def permit(self, name, permissions, admin=False):
        """The keys of the name have these permissions from now on."""
        with self._lock:
            for secret, key in self._by_secret.items():
                if key.name == name:
                    self._by_secret[secret] = dataclasses.replace(
                        key, permissions=tuple(permissions), admin=admin)

    def secret(self, name):
        """Of the newest key of that name."""
        with self._lock:
            return [known for known, key in self._by_secret.items() if key.name == name][-1]

    def of(self, secret):
        with self._lock:
            return self._by_secret.get(secret)


class Limiter:
    """A bucket per source address and class (what needs a key, what does not). Off until set()."""

    def __init__(self):
        self._lock = threading.Lock()
        self._buckets = {}
        self.rate = None
        self.burst = 0

    def set(self, rate=50.0, burst=100):
        """`rate` requests a second, `burst` at once; a rate of None: no limit, 0: no tokens ever come."""
        with self._lock:
            self.rate, self.burst = rate, burst
            self._buckets = {}

    def drain(self, address="127.0.0.1"):
        """As when another client behind the same address took all there was."""
        with self._lock:
            for of_keyed in (True, False):
                self._buckets[(address, of_keyed)] = (0.0, time.monotonic())

    def allows(self, address, of_keyed):
        with self._lock:
            if self.rate is None:
                return True
            now = time.monotonic()
            left, since = self._buckets.get((address, of_keyed), (float(self.burst), now))
            left = min(self.burst, left + (now - since) * self.rate)
            allowed = left >= 1
            self._buckets[(address, of_keyed)] = (left - 1 if allowed else left, now)
            return allowed


def json_text(value):
    return (json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n").encode()

"""What the fake certctl says at /api/v1/metrics/prometheus and in the summaries: the real names, the
real wrong counts, help texts of our own."""

import time

from certctl_rows import DAY, seconds_of

ONLINE_SECONDS = 300
SUMMARY_ROWS = 50  # it asks for 10,000; more than 500 becomes 50
PENDING = ("Pending", "AwaitingCSR", "AwaitingApproval", "Running")
OCSP_EVENTS = ("request_get", "request_post", "request_success", "request_invalid",
               "issuer_not_found", "cert_not_found", "signing_failed", "nonce_echoed",
               "nonce_malformed", "rate_limited")
BOUNDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

GO_SHORT = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t",
            "\v": r"\v", "\\": r"\\", '"': r"\""}
# All kinds of escapes, for labels that certctl never has today.
ODD_WORDS = ("tab\there", "bell\a\v", "delete\x7f", "nothing\0", "new\nline", 'quo"te',
             "back\\slash", "caf\u00e9", "zero\u200bwidth", "mark\ufeff", "key\U0001f511",
             "tag\U000e0041", b"not \xff UTF-8")


def go_quoted(text, only_ascii=False):
    """As Go's %q, or with only_ascii %+q, writes a string (bytes: one that need not be UTF-8)."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    out = []
    for letter in text:
        code = ord(letter)
        if letter in GO_SHORT:
            out.append(GO_SHORT[letter])
        elif 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
            out.append(f"\\x{code - 0xDC00:02x}")
        elif code < 0x80:
            out.append(letter if letter.isprintable() else f"\\x{code:02x}")
        elif letter.isprintable() and not only_ascii:
            out.append(letter)
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return '"' + "".join(out) + '"'


def certificates_summary(rows, total, now):
    """Counted over `rows`: all of them would be right."""
    revoked = expired = expiring = 0
    for row in rows:
        if row.said["status"] == "Revoked":
            revoked += 1
        elif row.said["status"] == "Expired" or row.expires < now:
            expired += 1
        elif row.expires < now + 30 * DAY:
            expiring += 1
    return {"certificate_total": total, "certificate_active": total - revoked - expired - expiring,
            "certificate_expiring_soon": expiring, "certificate_expired": expired,
            "certificate_revoked": revoked}


def summary(lists, now=None):
    """The gauges and counters from the database, wrong where certctl's are."""
    now = time.time() if now is None else now
    state = lists.state
    with state.lock:
        rows, total = lists.oldest(SUMMARY_ROWS), len(state.rows["certificates"])
        beats = [row.said.get("last_heartbeat_at") for row in state.rows["agents"].values()]
        jobs = [row.said["status"] for row in state.rows["jobs"].values()]
        dead = sum(row.said["status"] == "dead" for row in state.rows["notifications"].values())
    online = sum(beat is not None and now - seconds_of(beat) < ONLINE_SECONDS for beat in beats)
    return certificates_summary(rows, total, now) | {
        "agent_total": len(beats), "agent_online": online,
        "job_pending": sum(status in PENDING for status in jobs),
        "job_completed_total": jobs.count("Completed"), "job_failed_total": jobs.count("Failed"),
        "notification_dead_total": dead}


class Events:
    """What certctl counts in its process, from its start. Few of them have happened at first, so some
    families have no samples."""

    def __init__(self):
        self.started = time.time()
        self.ocsp = dict.fromkeys(OCSP_EVENTS, 0)
        self.issuance = {}          # (issuer_type, outcome): count
        self.issuance_seconds = {}  # issuer_type: [seconds]
        self.issuance_failures = {}  # (issuer_type, error_class): count
        self.vault_renewals = dict.fromkeys(("success", "failure", "not_renewable"), 0)
        self.expiry_alerts = {}     # (channel, threshold, result): count
        self.audit_chain = {"break_detected_total": 0, "verify_total": 1, "rows": 0,
                            "last_verified_at": int(self.started)}

    def happen(self):
        """Some of everything."""
        self.ocsp["request_get"] += 3
        self.issuance |= {("GenericCA", "success"): 4, ("ACME", "failure"): 2}
        self.issuance_seconds |= {"GenericCA": [0.01, 0.2, 0.2, 7], "ACME": [61.5, 300]}
        self.issuance_failures[("ACME", "timeout")] = 2
        self.vault_renewals["success"] += 5
        self.expiry_alerts |= {("Email", "7", "success"): 11, ("Email", "30", "failure"): 1}

    def odd_labels(self):
        """Labels with each kind of escape that Go's %q has, and Prometheus' format has not."""
        for number, word in enumerate(ODD_WORDS):
            self.issuance[(word, "success")] = number


def _labels(names, values, only_ascii):
    return "{" + ",".join(f"{name}={go_quoted(value, only_ascii)}"
                          for name, value in zip(names, values)) + "}"


def _number(value):
    return repr(value) if value != int(value) else str(int(value))


FROM_DATABASE = (
    ("certificate_total", "gauge", "Certificates in the database."),
    ("certificate_active", "gauge", "Certificates that are none of the following."),
    ("certificate_expiring_soon", "gauge", "Certificates that end within a month."),
    ("certificate_expired", "gauge", "Certificates that have ended."),
    ("certificate_revoked", "gauge", "Certificates that were revoked."),
    ("agent_total", "gauge", "Agents in the database."),
    ("agent_online", "gauge", "Agents heard of in the last minutes."),
    ("job_pending", "gauge", "Jobs that have not ended."),
    ("job_completed_total", "counter", "Jobs that went well."),
    ("job_failed_total", "counter", "Jobs that did not."),
    ("notification_dead_total", "counter", "Notifications that were given up."),
)


def exposition(lists, events, only_ascii=False, now=None):
    """The body. Families are apart by an empty line, those of the audit chain are not."""
    now = time.time() if now is None else now
    families = []

    def family(name, kind, help_text, samples):
        lines = [f"# HELP certctl_{name} {help_text}", f"# TYPE certctl_{name} {kind}"]
        lines += [f"certctl_{name}{rest} {_number(value)}" for rest, value in samples]
        families.append("\n".join(lines) + "\n")

    def labelled(names, values):
        return [(_labels(names, key if isinstance(key, tuple) else (key,), only_ascii), value)
                for key, value in values.items()]

    values = summary(lists, now)
    for name, kind, help_text in FROM_DATABASE:
        family(name, kind, help_text, [("", values[name])])
    family("uptime_seconds", "gauge", "Seconds since the fake was started.",
           [("", int(now - events.started))])
    family("ocsp_counter_total", "counter", "Events of the OCSP responder.",
           labelled(("label",), events.ocsp))
    family("issuance_total", "counter", "Attempts to issue a certificate.",
           labelled(("issuer_type", "outcome"), events.issuance))
    family("issuance_duration_seconds", "histogram", "How long issuing took.",
           [sample for issuer, seconds in events.issuance_seconds.items()
            for sample in _histogram(issuer, seconds)])
    family("issuance_failures_total", "counter", "Attempts that failed, by class.",
           labelled(("issuer_type", "error_class"), events.issuance_failures))
    family("vault_token_renewals_total", "counter", "Renewals of the Vault token, by result.",
           labelled(("result",), events.vault_renewals))
    if events.expiry_alerts:
        family("expiry_alerts_total", "counter", "Alerts of an expiry that were sent.",
               labelled(("channel", "threshold", "result"), events.expiry_alerts))
    text = "\n".join(families) + "\n"
    families.clear()
    chain = events.audit_chain
    for name, kind, help_text in (
            ("break_detected_total", "counter", "Breaks found in the chain of audit rows."),
            ("verify_total", "counter", "Walks along the chain."),
            ("rows", "gauge", "Rows seen by the latest walk \u2014 not a count of today\u2019s."),
            ("last_verified_at", "gauge", "When the latest walk was, since 1970.")):
        family(f"audit_chain_{name}", kind, help_text, [("", chain[name])])
    return (text + "".join(families)).encode()


def _histogram(issuer, seconds):
    for bound in BOUNDS:
        yield (f'_bucket{{issuer_type={go_quoted(issuer)},le="{bound:g}"}}',
               sum(one <= bound for one in seconds))
    yield f'_bucket{{issuer_type={go_quoted(issuer)},le="+Inf"}}', len(seconds)
    yield f"_sum{{issuer_type={go_quoted(issuer)}}}", sum(seconds)
    yield f"_count{{issuer_type={go_quoted(issuer)}}}", len(seconds)

"""Rows of a certctl database, made up from a seed: what the lists of the fake are filled with."""

import datetime
import random

DAY = 86400

# Enumerations in certctl's own spelling, which is also how they are counted (see `spelled`).
CERTIFICATE_STATUSES = ("Pending", "Active", "Expiring", "Expired", "RenewalInProgress", "Failed",
                        "Revoked", "Archived")
AGENT_STATUSES = ("Online", "Offline", "Degraded")
JOB_TYPES = ("Issuance", "Renewal", "Deployment", "Validation")
JOB_STATUSES = ("Pending", "AwaitingCSR", "AwaitingApproval", "Running", "Completed", "Failed",
                "Cancelled")
NOTIFICATION_STATUSES = ("pending", "sent", "failed", "dead", "read")
DISCOVERED_STATUSES = ("Unmanaged", "Managed", "Dismissed")
HEALTH_STATUSES = ("healthy", "degraded", "down", "cert_mismatch", "unknown")
TEST_STATUSES = ("untested", "success", "failed")

ISSUERS = ("issuer-north", "issuer-south", "issuer-acme", "issuer-vault", "issuer-legacy")
ENVIRONMENTS = ("production", "staging", "development", "lab")
OWNERS = ("owner-ada", "owner-grace", "owner-linus", "owner-radia", "")
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "islet", "jetty")


def rfc3339(seconds):
    """As Go writes a time of PostgreSQL: microseconds, without zeros at the end."""
    moment = datetime.datetime.fromtimestamp(round(seconds * 1e6) / 1e6, datetime.timezone.utc)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{moment.microsecond:06d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def seconds_of(text):
    return datetime.datetime.fromisoformat(text).timestamp()


def spelled(word, enumeration):
    """The word as the enumeration spells it; one that is not in it with a capital at its start."""
    for known in enumeration:
        if known.lower() == word.lower():
            return known
    return word[:1].upper() + word[1:]


def spread(dice, days_from, days_to):
    """Seconds until an expiry, some hours away from each whole day: while a test runs, none moves
    from one window (7, 30, 90 days) into another."""
    return dice.randrange(days_from, days_to) * DAY + dice.uniform(6, 18) * 3600


def certificate(number, dice, now, created=None, **changes):
    """One row. `changes` over it, where None leaves a field out."""
    word = f"{dice.choice(WORDS)}-{dice.choice(WORDS)}"
    kind = dice.random()
    if kind < 0.08:
        left, status = -spread(dice, 1, 200), "Expired"
    elif kind < 0.13:
        left, status = spread(dice, 0, 7), "Expiring"
    elif kind < 0.25:
        left, status = spread(dice, 7, 30), dice.choice(("Expiring", "Active"))
    elif kind < 0.50:
        left, status = spread(dice, 30, 90), "Active"
    else:
        left, status = spread(dice, 90, 400), "Active"
    if dice.random() < 0.3:
        status = dice.choice(CERTIFICATE_STATUSES)  # also one that the date speaks against
    if dice.random() < 0.02:
        status = dice.choice((status.lower(), status.upper()))
    expires = now + left
    # Many are issued in one go, and end in the same second.
    if dice.random() < 0.1:
        expires = int(now) + left // DAY * DAY + DAY // 2
    created = now - spread(dice, 1, 700) if created is None else created
    row = {
        "id": f"cert-{number:06d}",
        "name": f"{word}-{number:05d}",
        "common_name": f"{word}.{number % 97}.fake.test",
        "sans": [f"{word}.{number % 97}.fake.test"],
        "environment": dice.choice(ENVIRONMENTS),
        "owner_id": dice.choice(OWNERS),
        "team_id": f"team-{number % 5}",
        "issuer_id": dice.choice(ISSUERS),
        "target_ids": [f"target-{number % 13}"] if number % 3 else [],
        "renewal_policy_id": "policy-default",
        "status": status,
        "expires_at": rfc3339(expires),
        "tags": {"made": "up"},
        "created_at": rfc3339(created),
        "updated_at": rfc3339(now - number % 1000),
    }
    if status == "Revoked":
        row["revoked_at"] = rfc3339(now - spread(dice, 1, 30))
    return {key: value for key, value in (row | changes).items() if value is not None}


def certificates(count, dice, now, same_name=20):
    """`count` rows, made in batches that share their created_at. `same_name` of them have the name of
    another one, and every other of those all labels of it too."""
    rows = []
    created, batch_left = 0.0, 0
    for number in range(1, count + 1):
        if batch_left == 0:
            created, batch_left = now - spread(dice, 1, 700), dice.randrange(20, 300)
        batch_left -= 1
        rows.append(certificate(number, dice, now, created))
    for place in range(min(same_name, count // 2)):
        one, other = dice.sample(rows, 2)
        copied = ["name"] if place % 2 else ["name", "common_name", "issuer_id", "environment",
                                              "owner_id"]
        other.update({key: one[key] for key in copied})
    return rows


def agents(count, dice, now):
    rows = []
    for number in range(1, count + 1):
        row = {"id": f"agent-{number:04d}", "name": f"agent {number}",
               "hostname": f"host{number}.fake.test",
               "status": dice.choices(AGENT_STATUSES, (7, 2, 1))[0]}
        # The server's own scanners are agents that never send a heartbeat: every fourth here.
        if number % 4:
            age = dice.uniform(0, 120) if row["status"] == "Online" else dice.uniform(600, 9 * DAY)
            row["last_heartbeat_at"] = rfc3339(now - age)
        rows.append(row | {"registered_at": rfc3339(now - dice.randrange(9, 40) * DAY),
                           "os": "linux", "architecture": "amd64",
                           "ip_address": f"192.0.2.{number % 250}", "version": "0.0.0-fake"})
    return rows


def job(number, dice, now, **changes):
    kind = dice.choice(JOB_TYPES)
    status = dice.choices(JOB_STATUSES, (3, 1, 1, 1, 12, 3, 1))[0]
    age = dice.uniform(60, 20 * DAY)
    row = {"id": f"job-{number:06d}",
           "type": kind if dice.random() < 0.5 else kind.lower(),  # both are in real databases
           "certificate_id": f"cert-{number:06d}", "status": status, "attempts": 1,
           "max_attempts": 3, "scheduled_at": rfc3339(now - age),
           "created_at": rfc3339(now - age - 5), "verification_status": ""}
    if status in ("Completed", "Failed"):
        row |= {"started_at": rfc3339(now - age + 1), "completed_at": rfc3339(now - age + 9)}
    return row | changes


def jobs(count, dice, now):
    made = [job(number, dice, now) for number in range(1, count + 1)]
    for row, status in zip(made, JOB_STATUSES):  # each status is there, however few they are
        row["status"] = status
    return made


def issuers(now):
    kinds = ("GenericCA", "GenericCA", "ACME", "VaultPKI", "StepCA", "ACME", "EJBCA")
    names = (*ISSUERS, "issuer-spare", "issuer-retired")
    return [{"id": name, "name": name.replace("-", " "), "type": kind, "config": {"made": "up"},
             "enabled": place != 6, "test_status": TEST_STATUSES[place % 3], "source": "database",
             "created_at": rfc3339(now - place * DAY), "updated_at": rfc3339(now - place * DAY)}
            for place, (name, kind) in enumerate(zip(names, kinds))]


def notification(number, dice, now, **changes):
    status = dice.choices(NOTIFICATION_STATUSES, (2, 12, 2, 1, 4))[0]
    return {"id": f"note-{number:06d}", "type": "expiration_warning",
            "certificate_id": f"cert-{number:06d}", "channel": "email",
            "recipient": "nobody@fake.test", "message": "made up", "status": status,
            "retry_count": 0, "created_at": rfc3339(now - dice.randrange(50) * 600)} | changes


def discovered(number, dice, now, **changes):
    return {"id": f"found-{number:06d}", "common_name": f"found{number}.fake.test",
            "not_after": rfc3339(now + spread(dice, 0, 300)), "agent_id": "agent-0004",
            "status": dice.choices(DISCOVERED_STATUSES, (6, 3, 1))[0],
            "created_at": rfc3339(now - dice.randrange(50) * 3600)} | changes


def health_check(number, dice, now, **changes):
    return {"id": f"check-{number:04d}", "endpoint": f"host{number}.fake.test:443",
            "status": dice.choice(HEALTH_STATUSES), "enabled": True,
            "created_at": rfc3339(now - number * 60)} | changes


def many(make, count, dice, now, statuses):
    """`count` rows; each status is there, however few they are."""
    rows = [make(number, dice, now) for number in range(1, count + 1)]
    for row, status in zip(rows, statuses):
        row["status"] = status
    return rows


def dice_of(seed):
    return random.Random(f"fake certctl {seed}")

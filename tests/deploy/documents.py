"""What the documents say, read out of their Markdown, and how it differs from what the binary says.

Each `*_problems` function takes the text of a document and gives a list of differences, empty when
there are none, so that a test can give it a text with a line missing, too.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NODE_LABELS = ["cluster", "node_name", "instance", "scrape_profile", "pod", "kubernetes_namespace"]
CERTCTL_LABELS = ["certctl", "instance"]
OWN_PREFIXES = ("bao_node_", "bao_cluster_", "bao_token_", "bao_exporter_", "certctl_state_")

# Keys whose line in configs/bao-exporter.toml is an example: they have no useful default.
EXAMPLE_KEYS = {"output.relabel.target_label", "openbao.cluster", "openbao.node.name", "openbao.node.api_url", "certctl.name", "certctl.url"}


def document(name: str) -> str:
    return (ROOT / name).read_text()


def markdown_files() -> list[Path]:
    found = [path for path in ROOT.rglob("*.md") if path.relative_to(ROOT).parts[0] not in ("build", ".git")]
    return sorted(found)


# --- Markdown ------------------------------------------------------------------------


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def table_rows(text: str, first_column: str) -> list[list[str]]:
    """The rows of every table whose first column has that heading."""
    rows, inside, expected = [], False, 0
    for line in text.splitlines():
        if not line.startswith("|"):
            inside = False
        elif not inside:
            inside, heading = True, cells_of(line)
            wanted, expected = heading[0] == first_column, len(heading)
        elif wanted and not re.fullmatch(r"[|\- ]+", line):
            cells = cells_of(line)
            assert len(cells) == expected, f"{len(cells)} cells, not {expected}: {line}"
            rows.append(cells)
    return rows


def section(text: str, heading: str) -> str:
    """From this heading to the next one of its rank or above; empty when it is not there."""
    rank = heading.split(" ")[0]
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(rank)}}} |\Z)", text, re.M | re.S)
    return found[1] if found else ""


def in_backticks(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def code_of(text: str) -> str:
    """Indented code, and code between backticks."""
    indented = [line for line in text.splitlines() if line.startswith("    ")]
    return "\n".join(indented + in_backticks(text))


def anchors_of(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def differences(what: str, said: set, known: set) -> list[str]:
    missing = [f"{what} {one}: the document does not have it" for one in sorted(known - said)]
    return missing + [f"{what} {one}: the binary does not know it" for one in sorted(said - known)]


# --- configuration -------------------------------------------------------------------


@dataclass
class Key:
    path: str
    type: str
    default: str
    required: bool

    @property
    def default_in_document(self) -> str:
        return "required" if self.required else f"`{self.default}`"

    @property
    def default_value(self):
        return tomllib.loads(f"value = {self.default}")["value"]


def keys_of(reference: str) -> list[Key]:
    """What `bao-exporter reference keys` prints."""
    rows = [line.split("\t") for line in reference.splitlines()]
    return [Key(path, kind, default, word == "required") for path, kind, default, word in rows]


def configuration_problems(text: str, keys: list[Key]) -> list[str]:
    rows = {row[0].strip("`"): row for row in table_rows(text, "key")}
    problems = differences("key", set(rows), {key.path for key in keys})
    for key in keys:
        if key.path not in rows:
            continue
        _, kind, default, meaning, change = rows[key.path]
        if kind != key.type:
            problems.append(f"key {key.path}: type {kind!r}, the binary says {key.type!r}")
        if default != key.default_in_document:
            problems.append(f"key {key.path}: default {default}, the binary says {key.default_in_document}")
        if not meaning or not change:
            problems.append(f"key {key.path}: a cell is empty")
        place = section(text, f"## {key.path.rsplit('.', 1)[0]}")
        if f"| `{key.path}` |" not in place:
            problems.append(f"key {key.path}: not in the section of its table")
    return problems


def values_in(table: dict, prefix: str = "") -> dict[str, list]:
    """Every key of a configuration with its values; those of a list of tables go together."""
    values: dict[str, list] = {}
    for name, value in table.items():
        tables = [value] if isinstance(value, dict) else value if isinstance(value, list) else []
        if tables and all(isinstance(one, dict) for one in tables):
            for one in tables:
                for path, inner in values_in(one, f"{prefix}{name}.").items():
                    values.setdefault(path, []).extend(inner)
        else:
            values.setdefault(prefix + name, []).append(value)
    return values


def toml_problems(text: str, keys: list[Key]) -> list[str]:
    values = values_in(tomllib.loads(text))
    problems = differences("key", set(values), {key.path for key in keys})
    for key in keys:
        if key.path in values and key.path not in EXAMPLE_KEYS and key.default_value not in values[key.path]:
            problems.append(f"key {key.path}: {values[key.path]}, the binary's default is {key.default}")
        line = re.search(rf"^{key.path.rsplit('.', 1)[-1]} = [^#\n]+(#.*)?$", text, re.M)
        if line and key.required and "required" not in (line[1] or ""):
            problems.append(f"key {key.path}: the comment does not say that it is required")
    return problems


# --- metrics -------------------------------------------------------------------------


@dataclass
class Family:
    type: str = ""
    help: str = ""
    labels: set[str] = field(default_factory=set)


SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? \S+$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def families_of(exposition: str) -> dict[str, Family]:
    families: dict[str, Family] = {}
    for line in exposition.splitlines():
        if head := re.match(r"# (HELP|TYPE) (\S+) ?(.*)$", line):
            setattr(families.setdefault(head[2], Family()), head[1].lower(), head[3])
            continue
        name, labels = SAMPLE.match(line).groups()
        if name not in families:
            name = re.sub("_(bucket|sum|count)$", "", name)
        found = {label for label, _ in LABEL.findall(labels or "")}
        families[name].labels |= found - ({"le"} if families[name].type == "histogram" else set())
    return families


def label_values(exposition: str, family: str, label: str) -> set[str]:
    lines = [line for line in exposition.splitlines() if line.startswith(family + "{")]
    return {value for line in lines for name, value in LABEL.findall(line) if name == label}


@dataclass
class Live:
    """Two answers of one exporter."""

    metrics: str  # GET /metrics
    exporter: str  # GET /metrics/exporter

    @property
    def own(self) -> dict[str, Family]:
        """Our families by the names of the document: process metrics without prefix."""
        families = {
            name: family
            for name, family in families_of(self.metrics).items()
            if name.startswith(OWN_PREFIXES) and not name.startswith("bao_exporter_process_")
        }
        plain = families_of(self.exporter)
        return families | {name: plain[name] for name in plain if name.startswith("process_")}


def documented_families(text: str) -> dict[str, Family]:
    families = {}
    for name, kind, labels, meaning, absent in table_rows(text, "name"):
        words = labels
        for letter, stands_for in {"N": NODE_LABELS, "C": CERTCTL_LABELS}.items():
            words = re.sub(rf"^{letter}\b", ", ".join(f"`{label}`" for label in stands_for), words)
        families[name.strip("`")] = Family(kind, meaning, set(in_backticks(words)))
        assert absent, f"{name}: when it is absent is not said"
    return families


def metrics_problems(text: str, live: Live) -> list[str]:
    said, known = documented_families(text), live.own
    problems = differences("metric", set(said), set(known))
    for name in sorted(set(said) & set(known)):
        if said[name].type != known[name].type:
            problems.append(f"metric {name}: type {said[name].type}, the binary says {known[name].type}")
        if said[name].labels != known[name].labels:
            problems.append(f"metric {name}: labels {sorted(said[name].labels)}, not {sorted(known[name].labels)}")
        if not said[name].help.startswith(known[name].help):
            problems.append(f"metric {name}: its meaning does not begin with HELP: {known[name].help}")
    parts = "".join(section(text, f"## {part}") for part in ("Credentials", "The exporter", "The process"))
    problems += differences(
        "metric on /metrics/exporter", set(documented_families(parts)), set(families_of(live.exporter))
    )
    prefixed = {name for name in families_of(live.metrics) if name.startswith("bao_exporter_process_")}
    expected = {f"bao_exporter_{name}" for name in said if name.startswith("process_")}
    return problems + differences("metric on /metrics", expected, prefixed)


def label_problems(text: str, live: Live) -> list[str]:
    """Labels that are added to samples of nodes and of certctl, and values of the labels that are
    closed lists."""
    problems = []
    added = {name.strip("`") for name, _ in table_rows(text, "label") if name.strip("`") in NODE_LABELS}
    node_part = re.search(r"^vault_cache_hit\{(.*)\} ", live.metrics, re.M)
    problems += differences("label", added, {name for name, _ in LABEL.findall(node_part[1])})
    added = {name.strip("`") for name, _ in table_rows(text, "added")}
    certctl_part = re.search(r"^certctl_certificate_total\{(.*)\} ", live.metrics, re.M)
    problems += differences("label", added, {name for name, _ in LABEL.findall(certctl_part[1])})
    known = {
        "`node_role`": label_values(live.metrics, "bao_cluster_nodes", "node_role"),
        "`cause` of `bao_node_samples_dropped_total`": label_values(
            live.metrics, "bao_node_samples_dropped_total", "cause"
        ),
        "`cause` of `bao_exporter_auth_failures_total`": label_values(
            live.metrics, "bao_exporter_auth_failures_total", "cause"
        ),
        "`cause` of `bao_exporter_connections_refused_total`": label_values(
            live.metrics, "bao_exporter_connections_refused_total", "cause"
        ),
        "`cause` of `bao_exporter_connections_evicted_total`": label_values(
            live.metrics, "bao_exporter_connections_evicted_total", "cause"
        ),
        "`result`": label_values(live.metrics, "bao_token_logins_total", "result"),
        "`state`": label_values(live.metrics, "bao_exporter_connections", "state"),
        "`encoding`": label_values(live.metrics, "bao_exporter_snapshot_bytes", "encoding"),
        "`path`": label_values(live.metrics, "bao_exporter_scrapes_total", "path"),
        "`collector`": label_values(live.metrics, "certctl_state_collector_up", "collector"),
        "`within`": label_values(live.metrics, "certctl_state_certificates_expiring", "within"),
        "`family` of `certctl_state_upstream_count_mismatch`": label_values(
            live.metrics, "certctl_state_upstream_count_mismatch", "family"
        ),
    }
    for kind in ("agents", "notifications", "discovered_certificates", "health_checks"):
        family = f"certctl_state_{kind}"
        known[f"`status` of `{family}`"] = label_values(live.metrics, family, "status")
    rows = {row[0]: row[1] for row in table_rows(section(text, "## Values of labels"), "label")}
    for label, values in known.items():
        problems += differences(f"value of {label}", set(in_backticks(rows.get(label, ""))), values)
    return problems


# --- the runbook ---------------------------------------------------------------------


def reason_problems(text: str, reasons: list[str]) -> list[str]:
    part = section(text, "## Reasons")
    headings = re.findall(r"^### `(\w+)`$", part, re.M)
    problems = differences("reason", set(headings), set(reasons))
    problems += [f"reason {one}: twice" for one in sorted(set(headings)) if headings.count(one) > 1]
    if not problems and headings != reasons:
        problems.append("reasons: not in the order of the binary")
    for reason in headings:
        body = section(part, f"### `{reason}`")
        for word in ("Means", "See", "Do"):
            if not re.search(rf"^- \*\*{word}\*\*: \S", body, re.M):
                problems.append(f"reason {reason}: does not say **{word}**")
    return problems


def plain(markdown: str) -> str:
    """Without backticks, and links as their words."""
    return re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", markdown).replace("`", "")


def remedy_problems(text: str, remedies: dict[str, str]) -> list[str]:
    """What **Do** begins with is what the doctor says."""
    part = section(text, "## Reasons")
    problems = []
    for reason, remedy in remedies.items():
        done = re.search(r"^- \*\*Do\*\*: (.*)$", section(part, f"### `{reason}`"), re.M)
        if not done or not plain(done[1]).startswith(remedy):
            problems.append(f"reason {reason}: **Do** does not begin with: {remedy}")
    return problems


def check_problems(text: str, checks: set[str]) -> list[str]:
    """The doctor's checks."""
    return differences("check", {row[0].strip("`") for row in table_rows(text, "check")}, checks)


def doctor_checks(sources: str) -> set[str]:
    """The names of all findings that exporter/doctor makes."""
    named = re.findall(r'out\.(?:ok|warn|fail)\(\s*"([a-z]+)"', sources)
    return set(named) | set(re.findall(r'kCheck = "([a-z]+)"', sources))


def cause_problems(text: str, live: Live) -> list[str]:
    said = {row[0].strip("`") for row in table_rows(text, "cause")}
    return differences("cause", said, label_values(live.metrics, "bao_node_samples_dropped_total", "cause"))


def log_messages(sources: str) -> set[str]:
    """The constant text of every event that the program logs."""
    # log::warn("...", and where a helper adds the fields: say(log::warn, "..."
    logged = re.findall(r'log::(?:debug|info|warn|error)(?:\)?\(|,)\s*"([^"]+)"', sources)
    return set(logged) | set(re.findall(r'msg=\\"([^"\\]+)\\"', sources))


def log_problems(text: str, sources: str) -> list[str]:
    said = {row[0].strip("`") for row in table_rows(text, "msg")}
    return differences("log message", said, log_messages(sources))


def restart_keys(source: str) -> set[str]:
    """What needs_restart() of exporter/daemon.cc names."""
    body = re.search(r"std::string needs_restart\(.*?\n}\n", source, re.S)
    return set(re.findall(r'return "([a-z_.]+)"', body[0]))


# --- everything else -----------------------------------------------------------------


def link_problems(path: Path, text: str) -> list[str]:
    problems = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.is_relative_to(ROOT) or not there.exists():
            problems.append(f"{path.name}: {target} leads to nothing")
        elif anchor and anchor not in anchors_of(text if there == path else there.read_text()):
            problems.append(f"{path.name}: {target}: no such heading")
    return problems


def command_problems(text: str, dev_commands: set[str], sub_commands: set[str]) -> list[str]:
    code = code_of(text)
    used = set(re.findall(r"\./dev ([a-z]+)", code))
    problems = [f"./dev {one}: no such command" for one in sorted(used - dev_commands)]
    used = set(re.findall(r"^\s*(?:[A-Z_]+=\S* )*(?:[^\s=]*/)?bao-exporter ([a-z][a-z-]+)", code, re.M))
    return problems + [f"bao-exporter {one}: no such command" for one in sorted(used - sub_commands)]


def preset_problems(text: str, presets: set[str]) -> list[str]:
    said = {row[0].strip("`") for row in table_rows(text, "preset")}
    problems = differences("preset", said, presets)
    used = set(re.findall(r"--preset ([a-z-]+)", code_of(text)))
    return problems + [f"--preset {one}: no such preset" for one in sorted(used - presets)]


def promise_problems(text: str, tests: set[str]) -> list[str]:
    """The tests that the README's promises name, as ctest knows them; `fault/` is all below it."""
    problems = []
    rows = table_rows(text, "promise")
    for _, proof in rows:
        for name in in_backticks(proof):
            there = any(test.startswith(name) for test in tests) if name.endswith("/") else name in tests
            if not there:
                problems.append(f"promise: there is no test {name}")
    return problems if rows else ["there are no promises"]


def proof_problems(text: str, root: Path = ROOT) -> list[str]:
    """Each threat names a file and a claim in it."""
    problems = []
    rows = table_rows(text, "threat")
    for threat, _, proof in rows:
        named = in_backticks(proof)
        if len(named) != 2:
            problems.append(f"threat {threat!r}: names no test")
            continue
        file, claim = named
        source = (root / file).read_text() if (root / file).exists() else ""
        if file.endswith(".py"):
            there = re.search(rf"^def {re.escape(claim)}\(", source, re.M)
        else:
            there = claim in re.sub(r'"\s*"', "", "".join(re.findall(r'TEST_CASE\(\s*((?:"[^"]*"\s*)+)', source)))
        if not there:
            problems.append(f"threat {threat!r}: {file} has no {claim!r}")
    return problems if rows else ["there are no threats"]

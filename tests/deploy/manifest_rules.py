"""What must hold of the objects that one way of running the exporter on Kubernetes consists of,
beyond what their schemas say. Each rule is a function from Objects to sentences about what is wrong;
test_kubernetes.py has a manifest for each rule that must break it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator

import yaml

NAME = "bao-exporter"
NAMESPACE = "bao-exporter"
PORT = 9825
CONFIG_PATH = "/etc/bao-exporter/bao-exporter.toml"
SECRETS_PATH = "/secrets"
GROUP_READ = 0o440
UID_ABOVE = 10000

# The Secrets, by the names that the documents of OpenBao and certctl use, and ours.
SECRET_KEYS = {
    "openbao-metrics-token": {"token"},
    "openbao-metrics-ca": {"ca.crt"},
    "bao-exporter-tls": {"tls.crt", "tls.key"},
    "bao-exporter-ca": {"ca.crt"},
    "bao-exporter-scrape-token": {"token"},
}
MOUNTED_SECRETS = set(SECRET_KEYS) - {"bao-exporter-ca"}

# OpenBao's tokens, PEM, and anything long enough and random enough to be a key.
LOOKS_SECRET = re.compile(
    r"\b(?:hv[sbr]|[sbr])\.[A-Za-z0-9_-]{20,}|-----BEGIN|\b(?=[A-Za-z+/]*[0-9])[A-Za-z0-9+/]{40,}={0,2}"
)

# A ServiceMonitor's fields, as far as we use them: its schema is the Prometheus operator's and not
# among those of Kubernetes, so a misspelt field would pass.
MONITOR_FIELDS = {
    "spec": {"jobLabel", "namespaceSelector", "selector", "endpoints"},
    "endpoint": {
        *("port", "path", "scheme", "interval", "scrapeTimeout", "honorLabels", "authorization"),
        *("tlsConfig", "relabelings"),
    },
}


class Objects:
    def __init__(self, documents: list[dict]):
        self.documents = documents

    def all(self, kind: str) -> list[dict]:
        return [document for document in self.documents if document["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> dict:
        found = [item for item in self.all(kind) if name in (None, item["metadata"]["name"])]
        assert len(found) == 1, f"{len(found)} objects of kind {kind} {name or ''}"
        return found[0]

    @property
    def workload(self) -> dict:
        found = self.all("Deployment") + self.all("DaemonSet")
        assert len(found) == 1, f"{len(found)} workloads"
        return found[0]

    @property
    def template(self) -> dict:
        return self.workload["spec"]["template"]

    @property
    def pod(self) -> dict:
        return self.template["spec"]

    @property
    def container(self) -> dict:
        return self.pod["containers"][0]

    def volume(self, name: str) -> dict:
        return next(volume for volume in self.pod["volumes"] if volume["name"] == name)

    @property
    def toml(self) -> str:
        name = self.volume("config")["configMap"]["name"]
        return self.one("ConfigMap", name)["data"]["bao-exporter.toml"]

    @property
    def config(self) -> dict:
        return tomllib.loads(self.toml)

    @property
    def policy(self) -> dict:
        return self.one("NetworkPolicy", NAME)["spec"]

    @property
    def monitor(self) -> dict:
        return self.one("ServiceMonitor")["spec"]

    @property
    def endpoint(self) -> dict:
        return self.monitor["endpoints"][0]

    def secret_references(self) -> Iterator[tuple[str, str]]:
        """Name and key of every Secret that anything refers to."""

        def walk(value):
            if isinstance(value, list):
                for item in value:
                    yield from walk(item)
            elif isinstance(value, dict):
                for key, item in value.items():
                    if key == "secret" and "items" in item:
                        yield from ((item["name"], entry["key"]) for entry in item["items"])
                    elif key in ("secret", "secretKeyRef", "credentials"):
                        yield item.get("name") or item.get("secretName"), item.get("key", "every key")
                    elif key == "secretRef":
                        yield item["name"], "every key"
                    else:
                        yield from walk(item)

        yield from walk(self.documents)


Rule = Callable[[Objects], Iterator[str]]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    RULES[function.__name__] = function
    return function


def broken_rules(documents: list[dict]) -> dict[str, list[str]]:
    """By the rule's name, what is wrong. A rule that finds nothing to look at is broken too."""
    found = {}
    for name, function in RULES.items():
        try:
            problems = list(function(Objects(documents)))
        except (AssertionError, AttributeError, IndexError, KeyError, StopIteration, TypeError) as error:
            problems = [f"cannot be checked: {error!r}"]
        if problems:
            found[name] = problems
    return found


def differs(what: str, is_: object, must: object) -> Iterator[str]:
    if is_ != must:
        yield f"{what} is {is_!r} and must be {must!r}"


def matches(selector: dict, labels: dict) -> bool:
    wanted = selector.get("matchLabels", selector)
    return bool(wanted) and set(selector) <= {"matchLabels"} | set(wanted) and wanted.items() <= labels.items()


# --- pod security, restricted and a little more ---------------------------------------


@rule
def namespace_enforces_restricted(objects):
    labels = objects.one("Namespace", NAMESPACE)["metadata"]["labels"]
    yield from differs("enforce", labels.get("pod-security.kubernetes.io/enforce"), "restricted")


@rule
def pod_security_context(objects):
    context = dict(objects.pod["securityContext"])
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        if not context.pop(key, 0) > UID_ABOVE:
            yield f"{key} must be above {UID_ABOVE}"
    # Nothing else may be in it: not the user "root", not sysctls, not SELinux options.
    yield from differs("the rest", context, {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}})


@rule
def container_security_context(objects):
    expected = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    yield from differs("securityContext", objects.container["securityContext"], expected)


@rule
def one_container(objects):
    for key in ("initContainers", "ephemeralContainers"):
        if key in objects.pod:
            yield f"has {key}, which the other rules do not look at"
    yield from differs("number of containers", len(objects.pod["containers"]), 1)


@rule
def no_host_namespaces(objects):
    for key in ("hostNetwork", "hostPID", "hostIPC", "hostAliases", "hostname"):
        if key in objects.pod:
            yield f"has {key}"
    for port in objects.container["ports"]:
        if {"hostPort", "hostIP"} & set(port):
            yield "a port of the host is used"


@rule
def volume_kinds(objects):
    for volume in objects.pod["volumes"]:
        (kind,) = set(volume) - {"name"}
        if kind not in ("configMap", "projected"):
            yield f"volume {volume['name']} is a {kind}"


@rule
def no_service_account_token(objects):
    yield from differs("of the pod", objects.pod["automountServiceAccountToken"], False)
    account = objects.one("ServiceAccount", objects.pod["serviceAccountName"])
    yield from differs("of the account", account["automountServiceAccountToken"], False)
    for source in objects.volume("secrets")["projected"]["sources"]:
        if "serviceAccountToken" in source:
            yield "a token of the account is mounted"


@rule
def no_service_links(objects):
    yield from differs("enableServiceLinks", objects.pod["enableServiceLinks"], False)


@rule
def resources(objects):
    for kind in ("requests", "limits"):
        if set(objects.container["resources"].get(kind, {})) != {"cpu", "memory"}:
            yield f"{kind} must have cpu and memory"


@rule
def probes(objects):
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        handler = objects.container[probe].get("tcpSocket")
        yield from differs(probe, handler, {"port": "metrics"})


@rule
def image(objects):
    # By its digest once the user has changed it; never by a tag that moves.
    if not re.fullmatch(r"[a-z0-9./:-]*bao-exporter(:\d+\.\d+\.\d+|@sha256:[0-9a-f]{64})", objects.container["image"]):
        yield f"{objects.container['image']} has no version and no digest"


# --- secrets --------------------------------------------------------------------------


@rule
def secret_names(objects):
    for name, key in objects.secret_references():
        if key not in SECRET_KEYS.get(name, ()):
            yield f"nobody knows the Secret {name} with {key}"
    yield from differs("Secrets", {name for name, _ in objects.secret_references()}, set(SECRET_KEYS))


@rule
def secrets_are_files(objects):
    secrets = objects.volume("secrets")["projected"]
    yield from differs("defaultMode", secrets["defaultMode"], GROUP_READ)
    mounted = {source["secret"]["name"] for source in secrets["sources"] if "secret" in source}
    yield from differs("mounted", mounted, MOUNTED_SECRETS)
    for source in secrets["sources"]:
        if any("mode" in item for item in source["secret"]["items"]):
            yield "a file has a mode of its own"


@rule
def no_secret_values(objects):
    if objects.all("Secret"):
        yield "there is an object of kind Secret"
    for found in LOOKS_SECRET.finditer(yaml.safe_dump(objects.documents, width=10**6)):
        yield f"looks like a secret: {found[0][:8]}..."


@rule
def environment(objects):
    """Nothing but the name of the Kubernetes node, and that only where the configuration has it."""
    expected = []
    if "${NODE_NAME}" in objects.toml:
        expected = [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]
    yield from differs("env", objects.container.get("env", []), expected)
    if "envFrom" in objects.container:
        yield "has envFrom"


# --- the configuration finds its files ------------------------------------------------


@rule
def mounts(objects):
    expected = [
        {"name": "config", "mountPath": CONFIG_PATH.rsplit("/", 1)[0], "readOnly": True},
        {"name": "secrets", "mountPath": SECRETS_PATH, "readOnly": True},
    ]
    yield from differs("volumeMounts", objects.container["volumeMounts"], expected)
    yield from differs("volumes", [volume["name"] for volume in objects.pod["volumes"]], ["config", "secrets"])


@rule
def arguments(objects):
    yield from differs("command", objects.container["command"], ["bao-exporter"])
    yield from differs("args", objects.container["args"], ["--config.file", CONFIG_PATH])


@rule
def files_of_the_configuration(objects):
    sources = objects.volume("secrets")["projected"]["sources"]
    there = {f"{SECRETS_PATH}/{item['path']}" for source in sources for item in source["secret"]["items"]}
    lines = "\n".join(line for line in objects.toml.splitlines() if not line.lstrip().startswith("#"))
    named = set(re.findall(r'"(/[^"]+)"', lines))
    yield from differs("files that the configuration names", named, there)


@rule
def port(objects):
    yield from differs("listener.address", objects.config["listener"]["address"], f"0.0.0.0:{PORT}")
    expected = [{"name": "metrics", "containerPort": PORT, "protocol": "TCP"}]
    yield from differs("of the container", objects.container["ports"], expected)
    service = objects.one("Service", NAME)["spec"]
    expected = [{"name": "metrics", "protocol": "TCP", "port": PORT, "targetPort": "metrics"}]
    yield from differs("of the Service", service["ports"], expected)


@rule
def namespaces(objects):
    for document in objects.documents:
        kind, metadata = document["kind"], document["metadata"]
        expected = NAMESPACE
        if kind == "Namespace":
            expected = None
        elif metadata["name"] == "openbao-node-local":
            expected = objects.config["openbao"][0]["kubernetes_namespace"]
        yield from differs(f"namespace of {kind} {metadata['name']}", metadata.get("namespace"), expected)


# --- selectors ------------------------------------------------------------------------


@rule
def selectors_match_labels(objects):
    labels = objects.template["metadata"]["labels"]
    selectors = {"the workload": objects.workload["spec"]["selector"]}
    selectors["the Service"] = objects.one("Service", NAME)["spec"]["selector"]
    selectors["the NetworkPolicy"] = objects.policy["podSelector"]
    for budget in objects.all("PodDisruptionBudget"):
        selectors["the PodDisruptionBudget"] = budget["spec"]["selector"]
    for what, selector in selectors.items():
        if not matches(selector, labels):
            yield f"the selector of {what} does not match the pod's labels"


@rule
def workload_selects_by_component(objects):
    """So that the two ways, when both are there by mistake, do not take each other's pods."""
    selector = objects.workload["spec"]["selector"]["matchLabels"]
    component = {"Deployment": "cluster", "DaemonSet": "node-local"}[objects.workload["kind"]]
    yield from differs("component", selector.get("app.kubernetes.io/component"), component)


# --- the network ----------------------------------------------------------------------


@rule
def default_deny(objects):
    spec = objects.one("NetworkPolicy", "default-deny")["spec"]
    yield from differs("default-deny", spec, {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})


@rule
def both_directions(objects):
    yield from differs("policyTypes", sorted(objects.policy["policyTypes"]), ["Egress", "Ingress"])


def peer(namespace: str, **pod_labels: str) -> dict:
    labels = {key.replace("__", "/").replace("_", "."): value for key, value in pod_labels.items()}
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": labels},
    }


@rule
def ingress_from_prometheus_only(objects):
    expected = [
        {
            "from": [peer("monitoring", app_kubernetes_io__name="prometheus")],
            "ports": [{"protocol": "TCP", "port": PORT}],
        }
    ]
    yield from differs("ingress", objects.policy["ingress"], expected)


@rule
def egress_to_openbao_and_dns_only(objects):
    openbao = objects.config["openbao"][0]
    ports = {int(node["api_url"].rsplit(":", 1)[1]) for node in openbao["node"]}
    dns = peer("kube-system", **{"k8s-app": "kube-dns"})
    expected = [
        {
            "to": [peer(openbao["kubernetes_namespace"], app_kubernetes_io__name="openbao")],
            "ports": [{"protocol": "TCP", "port": number} for number in sorted(ports)],
        },
        {"to": [dns], "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]},
    ]
    yield from differs("egress", objects.policy["egress"], expected)


@rule
def service_is_headless(objects):
    yield from differs("clusterIP", objects.one("Service", NAME)["spec"].get("clusterIP"), "None")


# --- how many, and where --------------------------------------------------------------


@rule
def never_two_on_the_same_nodes(objects):
    spec = objects.workload["spec"]
    if objects.workload["kind"] == "Deployment":
        yield from differs("replicas", spec["replicas"], 1)
        yield from differs("strategy", spec["strategy"], {"type": "Recreate"})
    else:
        expected = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
        yield from differs("updateStrategy", spec["updateStrategy"], expected)


@rule
def may_be_evicted(objects):
    if objects.workload["kind"] == "Deployment":
        spec = dict(objects.one("PodDisruptionBudget")["spec"])
        spec.pop("selector")
        yield from differs("PodDisruptionBudget", spec, {"maxUnavailable": 1})


@rule
def beside_openbao(objects):
    if objects.workload["kind"] != "DaemonSet":
        return
    affinity = objects.pod["affinity"]
    (term,) = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    yield from differs("affinities", set(affinity), {"nodeAffinity"})
    yield from differs("operators", [item["operator"] for item in term["matchExpressions"]], ["In"])


@rule
def node_local_service(objects):
    if objects.workload["kind"] != "DaemonSet":
        return
    service = objects.one("Service", "openbao-node-local")
    spec = service["spec"]
    yield from differs("internalTrafficPolicy", spec.get("internalTrafficPolicy"), "Local")
    yield from differs("publishNotReadyAddresses", spec.get("publishNotReadyAddresses"), True)
    if spec.get("clusterIP") == "None" or spec["type"] != "ClusterIP":
        yield "must have an address of its own"
    (node,) = objects.config["openbao"][0]["node"]
    name = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc:{spec['ports'][0]['port']}"
    yield from differs("api_url", node["api_url"], f"https://{name}")
    yield from differs("name", node["name"], "${NODE_NAME}")
    chosen = objects.policy["egress"][0]["to"][0]["podSelector"]["matchLabels"]
    if not chosen.items() <= spec["selector"].items():
        yield "the NetworkPolicy lets nobody to the pods of this Service"


# --- the ServiceMonitor ---------------------------------------------------------------


@rule
def monitor_fields(objects):
    document = objects.one("ServiceMonitor")
    yield from differs("apiVersion", document["apiVersion"], "monitoring.coreos.com/v1")
    yield from differs("fields", set(objects.monitor), MONITOR_FIELDS["spec"])
    yield from differs("number of endpoints", len(objects.monitor["endpoints"]), 1)
    yield from differs("fields of the endpoint", set(objects.endpoint), MONITOR_FIELDS["endpoint"])


@rule
def monitor_finds_the_service(objects):
    service = objects.one("Service", NAME)
    if not matches(objects.monitor["selector"], service["metadata"]["labels"]):
        yield "its selector does not match the Service's labels"
    yield from differs("namespaces", objects.monitor["namespaceSelector"], {"matchNames": [NAMESPACE]})
    yield from differs("port", objects.endpoint["port"], service["spec"]["ports"][0]["name"])
    for other in objects.all("Service"):
        if other is not service and matches(objects.monitor["selector"], other["metadata"]["labels"]):
            if other["metadata"]["namespace"] == NAMESPACE:
                yield f"it finds {other['metadata']['name']} too"


@rule
def monitor_names_the_job(objects):
    labels = objects.one("Service", NAME)["metadata"]["labels"]
    yield from differs("the job", labels.get(objects.monitor["jobLabel"]), "bao-exporter")


@rule
def monitor_keeps_labels(objects):
    yield from differs("honorLabels", objects.endpoint["honorLabels"], True)
    (relabeling,) = objects.endpoint["relabelings"]
    yield from differs("action", relabeling["action"], "labeldrop")
    dropped = {"namespace", "pod", "container", "service", "endpoint", "node"}
    yield from differs("regex", set(relabeling["regex"].split("|")), dropped)


@rule
def monitor_verifies_and_authenticates(objects):
    yield from differs("scheme", objects.endpoint["scheme"], "https")
    service = objects.one("Service", NAME)["metadata"]
    expected = {
        "serverName": f"{service['name']}.{service['namespace']}.svc",
        "ca": {"secret": {"name": "bao-exporter-ca", "key": "ca.crt"}},
    }
    yield from differs("tlsConfig", objects.endpoint["tlsConfig"], expected)
    expected = {"type": "Bearer", "credentials": {"name": "bao-exporter-scrape-token", "key": "token"}}
    yield from differs("authorization", objects.endpoint["authorization"], expected)


@rule
def monitor_times(objects):
    yield from differs("interval", objects.endpoint["interval"], "15s")
    yield from differs("scrapeTimeout", objects.endpoint["scrapeTimeout"], "10s")
    yield from differs("path", objects.endpoint["path"], "/metrics")

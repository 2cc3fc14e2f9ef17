"""Claim: the manifests are valid for Kubernetes, run under the restricted pod security standard, and
fit together: names, ports, labels, Secrets, both directions of the network. Each thing that is
checked is also broken here, and the breakage is noticed."""

from __future__ import annotations

import re
from collections.abc import Callable

import kubernetes_validate
import pytest
import yaml
from deploy_files import KUBERNETES, OVERLAYS, ROOT, files_of, load_overlay, uncommented, yaml_documents
from kubernetes_validate.utils import major_minor
from manifest_rules import RULES, Objects, broken_rules

SCHEMAS_WANTED = ["1.30", major_minor(kubernetes_validate.latest_version())]
WITHOUT_SCHEMA = {("monitoring.coreos.com/v1", "ServiceMonitor")}  # the Prometheus operator's


def is_without_schema(document: dict) -> bool:
    return (document["apiVersion"], document["kind"]) in WITHOUT_SCHEMA


def identity(document: dict) -> tuple[str, str, str]:
    return document["kind"], document["metadata"].get("namespace", ""), document["metadata"]["name"]


# --- the files ------------------------------------------------------------------------


def test_every_file_belongs_to_one_of_the_two_ways():
    found = set(KUBERNETES.rglob("*"))
    reached = {path for overlay in OVERLAYS for path in files_of(KUBERNETES / overlay)}
    kustomizations = set(KUBERNETES.glob("*/kustomization.yaml"))
    assert {path for path in found if path.is_file()} == reached | kustomizations


def test_the_folder_itself_deploys_nothing():
    assert not [path for path in KUBERNETES.iterdir() if path.is_file()]


def test_the_base_has_no_workload():
    kinds = {document["kind"] for document in load_overlay("base")}
    assert kinds == {"Namespace", "ServiceAccount", "Service", "NetworkPolicy", "ServiceMonitor"}


def test_the_two_ways_share_the_base_and_nothing_else():
    base = {identity(document) for document in load_overlay("base")}
    one, other = ({identity(document) for document in load_overlay(overlay)} for overlay in OVERLAYS)
    assert one & other == base


def test_the_two_ways_run_the_same_pod():
    """Apart from where it runs, which configuration it has, and the name of its node."""
    daemonset, deployment = (Objects(load_overlay(overlay)).pod for overlay in OVERLAYS)
    daemonset.pop("affinity")
    daemonset["containers"][0].pop("env")
    for pod in daemonset, deployment:
        pod["volumes"][0]["configMap"].pop("name")
    assert daemonset == deployment


def test_the_image_is_this_version():
    version = re.search(r"project\(bao-exporter VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1]
    for overlay in OVERLAYS:
        assert Objects(load_overlay(overlay)).container["image"] == f"bao-exporter:{version}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_object_is_there_twice(overlay):
    identities = [identity(document) for document in load_overlay(overlay)]
    assert len(identities) == len(set(identities))


def test_a_key_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("spec:\n  replicas: 1\n  replicas: 2\n")
    with pytest.raises(yaml.YAMLError):
        yaml_documents(path)


# --- the schemas of Kubernetes --------------------------------------------------------


def schema_problems(document: dict, version: str) -> str:
    try:
        used = kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    assert used == version, f"the schemas of {used} were used"
    return ""


@pytest.mark.parametrize("version", SCHEMAS_WANTED)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_are_valid(overlay, version):
    checked = 0
    for document in load_overlay(overlay):
        if is_without_schema(document):
            with pytest.raises(kubernetes_validate.SchemaNotFoundError):
                kubernetes_validate.validate(document, version, strict=True)
            continue
        problems = schema_problems(document, version)
        assert not problems, f"{identity(document)}: {problems}"
        checked += 1
    assert checked == len(load_overlay(overlay)) - len(WITHOUT_SCHEMA)


@pytest.mark.parametrize(
    "kind, path, value",
    [
        ("Deployment", "spec.template.spec.containers.0.securityContext.readOnlyRootFileSystem", True),
        ("Deployment", "spec.replicas", "one"),
        ("Deployment", "spec.template.spec.containers.0.ports.0.containerPort", "metrics"),
        ("NetworkPolicy", "spec.policyTypes", "Ingress"),
        ("PodDisruptionBudget", "spec.maxUnavailabel", 1),
        ("ConfigMap", "data.number", 1),
        ("Service", "spec.selector.enabled", True),  # as YAML 1.1 reads a yes
        ("Namespace", "metadata.label", {}),
    ],
)
def test_a_manifest_against_the_schema_is_noticed(kind, path, value):
    document = next(item for item in load_overlay("deployment") if item["kind"] == kind)
    put(document, path, value)
    for version in SCHEMAS_WANTED:
        assert schema_problems(document, version)


def test_manifests_are_valid_with_certctl():
    """With what is commented out for it: its Secrets as files, and the way out to it."""
    (deployment,) = yaml.safe_load_all(uncommented((KUBERNETES / "deployment/deployment.yaml").read_text(), "- secret:"))
    sources = Objects([deployment]).volume("secrets")["projected"]["sources"]
    files = {item["path"] for source in sources for item in source["secret"]["items"]}
    assert {"certctl.key", "certctl-ca.pem"} <= files
    _, policy = yaml.safe_load_all(uncommented((KUBERNETES / "base/networkpolicy.yaml").read_text(), "- to:"))
    assert [rule["ports"][0]["port"] for rule in policy["spec"]["egress"]] == [8200, 8443, 53]
    for document in (deployment, policy):
        assert not schema_problems(document, SCHEMAS_WANTED[-1])


# --- our own rules --------------------------------------------------------------------


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_keep_the_rules(overlay):
    assert broken_rules(load_overlay(overlay)) == {}


class Remove:
    """As a value: take the key away."""


def put(at, path: str, value) -> None:
    *way, last = [int(key) if key.isdigit() else key.replace("|", ".") for key in path.split(".")]
    for key in way:
        at = at[key]
    if value is Remove:
        del at[last]
    elif isinstance(at, list) and last == len(at):
        at.append(value)
    else:
        at[last] = value


def setting(part: str, path: str, value) -> Callable[[Objects], None]:
    """A mutation: in one part of the objects (an attribute of Objects), this at that path. A dot
    inside a key is written as |."""
    return lambda objects: put(getattr(objects, part), path, value)


def object_setting(kind: str, name: str | None, path: str, value) -> Callable[[Objects], None]:
    return lambda objects: put(objects.one(kind, name), path, value)


def adding(document: dict) -> Callable[[Objects], None]:
    return lambda objects: objects.documents.append(document)


def in_toml(old: str, new: str) -> Callable[[Objects], None]:
    def mutate(objects: Objects) -> None:
        for config_map in objects.all("ConfigMap"):
            text = config_map["data"]["bao-exporter.toml"]
            assert old in text
            config_map["data"]["bao-exporter.toml"] = text.replace(old, new)

    return mutate


SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "namespace": "bao-exporter"}}
ENFORCE = "metadata.labels.pod-security|kubernetes|io/enforce"
EVERY_PEER = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}}
BOTH = OVERLAYS
DAEMONSET, DEPLOYMENT = ["daemonset"], ["deployment"]

# The rule that must notice, the ways in which it is tried, and the breakage.
MUTATIONS: list[tuple[str, list[str], Callable[[Objects], None]]] = [
    ("namespace_enforces_restricted", BOTH, object_setting("Namespace", None, ENFORCE, "baseline")),
    ("namespace_enforces_restricted", BOTH, object_setting("Namespace", None, ENFORCE, Remove)),
    ("pod_security_context", BOTH, setting("pod", "securityContext.runAsNonRoot", False)),
    ("pod_security_context", BOTH, setting("pod", "securityContext.runAsUser", 0)),
    ("pod_security_context", BOTH, setting("pod", "securityContext.runAsUser", Remove)),
    ("pod_security_context", BOTH, setting("pod", "securityContext.runAsGroup", 0)),
    ("pod_security_context", BOTH, setting("pod", "securityContext.fsGroup", Remove)),
    ("pod_security_context", BOTH, setting("pod", "securityContext.seccompProfile", {"type": "Unconfined"})),
    ("pod_security_context", BOTH, setting("pod", "securityContext.sysctls", [{"name": "a", "value": "1"}])),
    ("container_security_context", BOTH, setting("container", "securityContext.allowPrivilegeEscalation", True)),
    ("container_security_context", BOTH, setting("container", "securityContext.readOnlyRootFilesystem", False)),
    ("container_security_context", BOTH, setting("container", "securityContext.capabilities.drop", ["NET_RAW"])),
    ("container_security_context", BOTH, setting("container", "securityContext.capabilities.add", ["SYS_PTRACE"])),
    ("container_security_context", BOTH, setting("container", "securityContext.privileged", True)),
    ("container_security_context", BOTH, setting("container", "securityContext.runAsUser", 0)),
    ("container_security_context", BOTH, setting("container", "securityContext", Remove)),
    ("one_container", BOTH, setting("pod", "initContainers", [{"name": "x", "image": "x"}])),
    ("one_container", BOTH, setting("pod", "containers.1", {"name": "x", "image": "x"})),
    ("no_host_namespaces", BOTH, setting("pod", "hostNetwork", True)),
    ("no_host_namespaces", BOTH, setting("pod", "hostPID", True)),
    ("no_host_namespaces", BOTH, setting("container", "ports.0.hostPort", 9825)),
    ("volume_kinds", BOTH, setting("pod", "volumes.2", {"name": "x", "hostPath": {"path": "/"}})),
    ("no_service_account_token", BOTH, setting("pod", "automountServiceAccountToken", True)),
    ("no_service_account_token", BOTH, setting("pod", "automountServiceAccountToken", Remove)),
    (
        "no_service_account_token",
        BOTH,
        object_setting("ServiceAccount", None, "automountServiceAccountToken", Remove),
    ),
    (
        "no_service_account_token",
        BOTH,
        setting("pod", "volumes.1.projected.sources.4", {"serviceAccountToken": {"path": "t"}}),
    ),
    ("no_service_links", BOTH, setting("pod", "enableServiceLinks", Remove)),
    ("resources", BOTH, setting("container", "resources.limits.memory", Remove)),
    ("resources", BOTH, setting("container", "resources.requests", Remove)),
    ("probes", BOTH, setting("container", "livenessProbe", Remove)),
    ("probes", BOTH, setting("container", "readinessProbe", {"httpGet": {"path": "/-/ready", "port": "metrics"}})),
    ("image", BOTH, setting("container", "image", "bao-exporter:latest")),
    ("image", BOTH, setting("container", "image", "bao-exporter")),
    ("secret_names", BOTH, setting("pod", "volumes.1.projected.sources.0.secret.name", "openbao-token")),
    ("secret_names", BOTH, setting("pod", "volumes.1.projected.sources.1.secret.items.0.key", "ca.pem")),
    ("secret_names", BOTH, setting("endpoint", "authorization.credentials.name", "openbao-metrics-token-2")),
    (
        "secret_names",
        BOTH,
        setting("container", "env", [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "other", "key": "t"}}}]),
    ),
    ("secrets_are_files", BOTH, setting("pod", "volumes.1.projected.defaultMode", 0o444)),
    ("secrets_are_files", BOTH, setting("pod", "volumes.1.projected.defaultMode", Remove)),
    ("secrets_are_files", BOTH, setting("pod", "volumes.1.projected.sources.2.secret.items.1.mode", 0o444)),
    ("secrets_are_files", BOTH, setting("pod", "volumes.1.projected.sources.0", Remove)),
    ("no_secret_values", BOTH, adding(SECRET)),
    ("no_secret_values", BOTH, in_toml("[listener]", "# hvs.CAESIJ0nZmFrZS10b2tlbi1mb3ItdGVzdA\n[listener]")),
    ("no_secret_values", BOTH, in_toml("[listener]", "# -----BEGIN EC PRIVATE KEY-----\n[listener]")),
    ("no_secret_values", BOTH, in_toml("[listener]", f"# {'4f' * 32}\n[listener]")),
    ("environment", BOTH, setting("container", "env", [{"name": "TOKEN", "value": "x"}])),
    ("environment", BOTH, setting("container", "envFrom", [{"secretRef": {"name": "openbao-metrics-token"}}])),
    ("environment", DAEMONSET, setting("container", "env", Remove)),
    ("mounts", BOTH, setting("container", "volumeMounts.1.readOnly", Remove)),
    ("mounts", BOTH, setting("container", "volumeMounts.1.subPath", "openbao.token")),
    ("mounts", BOTH, setting("container", "volumeMounts.0.mountPath", "/etc")),
    ("arguments", BOTH, setting("container", "args", ["--config.file", "/etc/bao-exporter.toml"])),
    ("arguments", BOTH, setting("container", "command", ["sh", "-c", "bao-exporter"])),
    ("files_of_the_configuration", BOTH, in_toml("/secrets/openbao.token", "/secrets/token")),
    (
        "files_of_the_configuration",
        BOTH,
        setting("pod", "volumes.1.projected.sources.2.secret.items.1.path", "tls.key"),
    ),
    ("port", BOTH, in_toml("0.0.0.0:9825", "0.0.0.0:9826")),
    ("port", BOTH, in_toml("0.0.0.0:9825", "127.0.0.1:9825")),
    ("port", BOTH, setting("container", "ports.0.containerPort", 9826)),
    ("port", BOTH, object_setting("Service", "bao-exporter", "spec.ports.0.targetPort", "https")),
    ("namespaces", BOTH, object_setting("ServiceMonitor", None, "metadata.namespace", "monitoring")),
    ("namespaces", BOTH, object_setting("NetworkPolicy", "default-deny", "metadata.namespace", Remove)),
    ("namespaces", DAEMONSET, object_setting("Service", "openbao-node-local", "metadata.namespace", "bao-exporter")),
    ("selectors_match_labels", BOTH, setting("template", "metadata.labels.app|kubernetes|io/name", "exporter")),
    (
        "selectors_match_labels",
        BOTH,
        object_setting("Service", "bao-exporter", "spec.selector", {"app": "bao-exporter"}),
    ),
    ("selectors_match_labels", BOTH, setting("workload", "spec.selector.matchLabels.tier", "x")),
    ("selectors_match_labels", BOTH, setting("policy", "podSelector.matchLabels", {"app": "bao-exporter"})),
    ("selectors_match_labels", BOTH, setting("policy", "podSelector", {})),
    (
        "selectors_match_labels",
        DEPLOYMENT,
        object_setting("PodDisruptionBudget", None, "spec.selector.matchLabels", {"app": "x"}),
    ),
    (
        "workload_selects_by_component",
        BOTH,
        setting("workload", "spec.selector.matchLabels.app|kubernetes|io/component", Remove),
    ),
    ("default_deny", BOTH, object_setting("NetworkPolicy", "default-deny", "spec.policyTypes", ["Ingress"])),
    ("default_deny", BOTH, object_setting("NetworkPolicy", "default-deny", "spec.egress", [{}])),
    ("both_directions", BOTH, setting("policy", "policyTypes", ["Ingress"])),
    ("both_directions", BOTH, setting("policy", "policyTypes", ["Egress"])),
    ("ingress_from_prometheus_only", BOTH, setting("policy", "ingress", [{}])),
    ("ingress_from_prometheus_only", BOTH, setting("policy", "ingress.0.from.0.podSelector", Remove)),
    ("ingress_from_prometheus_only", BOTH, setting("policy", "ingress.0.from.1", EVERY_PEER)),
    ("ingress_from_prometheus_only", BOTH, setting("policy", "ingress.0.ports", Remove)),
    ("egress_to_openbao_and_dns_only", BOTH, setting("policy", "egress.2", {})),
    ("egress_to_openbao_and_dns_only", BOTH, setting("policy", "egress.0.to", Remove)),
    ("egress_to_openbao_and_dns_only", BOTH, setting("policy", "egress.0.ports.0.port", 8201)),
    ("egress_to_openbao_and_dns_only", BOTH, setting("policy", "egress.1.ports.1", Remove)),
    ("egress_to_openbao_and_dns_only", BOTH, in_toml(":8200", ":8300")),
    ("service_is_headless", BOTH, object_setting("Service", "bao-exporter", "spec.clusterIP", Remove)),
    ("never_two_on_the_same_nodes", DEPLOYMENT, setting("workload", "spec.replicas", 2)),
    ("never_two_on_the_same_nodes", DEPLOYMENT, setting("workload", "spec.strategy", {"type": "RollingUpdate"})),
    ("never_two_on_the_same_nodes", DAEMONSET, setting("workload", "spec.updateStrategy.rollingUpdate.maxSurge", 1)),
    ("may_be_evicted", DEPLOYMENT, object_setting("PodDisruptionBudget", None, "spec.maxUnavailable", 0)),
    ("may_be_evicted", DEPLOYMENT, object_setting("PodDisruptionBudget", None, "spec.minAvailable", 1)),
    ("beside_openbao", DAEMONSET, setting("pod", "affinity", Remove)),
    ("beside_openbao", DAEMONSET, setting("pod", "affinity.podAffinity", {})),
    (
        "node_local_service",
        DAEMONSET,
        object_setting("Service", "openbao-node-local", "spec.internalTrafficPolicy", "Cluster"),
    ),
    ("node_local_service", DAEMONSET, object_setting("Service", "openbao-node-local", "spec.clusterIP", "None")),
    (
        "node_local_service",
        DAEMONSET,
        object_setting("Service", "openbao-node-local", "spec.publishNotReadyAddresses", Remove),
    ),
    ("node_local_service", DAEMONSET, in_toml("openbao-node-local.openbao", "openbao-active.openbao")),
    ("node_local_service", DAEMONSET, in_toml('"${NODE_NAME}"', '"openbao"')),
    ("monitor_fields", BOTH, setting("endpoint", "honourLabels", True)),
    ("monitor_fields", BOTH, setting("monitor", "joblabel", "app")),
    ("monitor_fields", BOTH, object_setting("ServiceMonitor", None, "apiVersion", "monitoring.coreos.com/v1alpha1")),
    ("monitor_finds_the_service", BOTH, setting("monitor", "selector.matchLabels", {"app": "bao-exporter"})),
    ("monitor_finds_the_service", BOTH, setting("endpoint", "port", "https")),
    ("monitor_finds_the_service", BOTH, setting("monitor", "namespaceSelector", {"any": True})),
    ("monitor_names_the_job", BOTH, setting("monitor", "jobLabel", "app")),
    (
        "monitor_names_the_job",
        BOTH,
        object_setting("Service", "bao-exporter", "metadata.labels.app|kubernetes|io/name", "exporter"),
    ),
    ("monitor_keeps_labels", BOTH, setting("endpoint", "honorLabels", False)),
    ("monitor_keeps_labels", BOTH, setting("endpoint", "relabelings.0.regex", "pod")),
    ("monitor_verifies_and_authenticates", BOTH, setting("endpoint", "scheme", "http")),
    ("monitor_verifies_and_authenticates", BOTH, setting("endpoint", "tlsConfig.insecureSkipVerify", True)),
    ("monitor_verifies_and_authenticates", BOTH, setting("endpoint", "tlsConfig.serverName", "localhost")),
    ("monitor_verifies_and_authenticates", BOTH, setting("endpoint", "tlsConfig.ca", Remove)),
    ("monitor_verifies_and_authenticates", BOTH, setting("endpoint", "authorization", Remove)),
    ("monitor_times", BOTH, setting("endpoint", "scrapeTimeout", "15s")),
]


@pytest.mark.parametrize(
    "overlay, rule, mutate",
    [
        pytest.param(overlay, rule, mutate, id=f"{number}-{rule}-{overlay}")
        for number, (rule, overlays, mutate) in enumerate(MUTATIONS)
        for overlay in overlays
    ],
)
def test_a_mutated_manifest_is_noticed(overlay, rule, mutate):
    documents = load_overlay(overlay)
    mutate(Objects(documents))
    assert documents != load_overlay(overlay)
    assert rule in broken_rules(documents)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_rule_is_broken_by_some_mutation(overlay):
    tried = {rule for rule, overlays, _ in MUTATIONS if overlay in overlays}
    other = {"daemonset": {"may_be_evicted"}, "deployment": {"beside_openbao", "node_local_service"}}
    assert tried == set(RULES) - other[overlay]


def test_each_object_is_missed():
    """Without any one of them, some rule is broken."""
    for overlay in OVERLAYS:
        documents = load_overlay(overlay)
        for index, document in enumerate(documents):
            assert broken_rules(documents[:index] + documents[index + 1 :]), identity(document)


def test_both_ways_at_once_are_noticed():
    documents = load_overlay("deployment") + [
        document for document in load_overlay("daemonset") if document["kind"] == "DaemonSet"
    ]
    assert "never_two_on_the_same_nodes" in broken_rules(documents)

"""Fake nodes in one fast process (node_farm.cc), and who polls them: bao-exporter, and the files that
tell Prometheus and vmagent where they are."""

import collections
import contextlib
import http.client
import json
import ssl
import subprocess

from servers import Exporter, end
from tools import options, program


class Farm:
    """with Farm(folder, certificates, nodes=8, samples=3800) as farm: ...; ports[i] is node i's."""

    def __init__(self, certificates, nodes, cluster_size=5, **shape):
        self.certificates = certificates
        self.cluster_size = cluster_size
        self._command = [program("node_farm"), "--cert", certificates.pem("node"), "--key",
                         certificates.key("node"),
                         *options({"nodes": nodes, "cluster_size": cluster_size, **shape})]
        self._process = None
        self.ports = []

    def __enter__(self):
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, text=True)
        try:
            self.ports = json.loads(self._process.stdout.readline())["ports"]
        except BaseException:
            end(self._process)
            raise
        return self

    def __exit__(self, *_):
        end(self._process)
        self._process.stdout.close()

    def clusters(self):
        """Names of clusters, each with the numbers of its nodes."""
        size = self.cluster_size
        return {f"farm-{at // size}": range(at, min(at + size, len(self.ports)))
                for at in range(0, len(self.ports), size)}

    def counts(self):
        """How often metrics were asked for, by the first word of who asked."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.ports[0], timeout=5,
            context=ssl.create_default_context(cafile=self.certificates.pem("ca")))
        with contextlib.closing(connection):
            connection.request("GET", "/counts")
            return json.loads(connection.getresponse().read())


class FarmExporter(Exporter):
    """bao-exporter in front of a Farm."""

    start_seconds = 60

    def __init__(self, folder, certificates, binary, farm, interval, samples):
        super().__init__(folder, certificates, binary)
        self.farm = farm
        self.interval = interval
        self.series_max = max(1_000_000, 2 * samples * len(farm.ports))

    def start(self):
        self._launch()

    def upstreams(self):
        return [(name, self.ca_file, [(f"node-{node}", f"https://127.0.0.1:{self.farm.ports[node]}")
                                      for node in nodes])
                for name, nodes in self.farm.clusters().items()]

    def tables(self):
        return ["[poll]", f'interval = "{self.interval}s"',
                f'timeout = "{min(8_000, 800 * self.interval)}ms"',
                f'stale_after = "{3 * self.interval}s"',
                "[limits]", f"series_max = {self.series_max}"]

    def node_paths(self):
        return [f"/metrics/nodes/{name}/node-{node}"
                for name, nodes in self.farm.clusters().items() for node in nodes]

    def reasons(self):
        """Polls that ended, by reason."""
        found = collections.Counter()
        for line in self.get()[2].decode().splitlines():
            if line.startswith("bao_node_polls_total{"):
                found[line.split('reason="')[1].split('"')[0]] += int(float(line.split()[-1]))
        return found

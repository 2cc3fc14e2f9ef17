#include "bao_exporter/service_discovery.h"

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "catch.h"

namespace bao_exporter {

namespace {

using nlohmann::json;

ListenerConfig listener(const std::string& advertised = "") {
  ListenerConfig config;
  config.tls_cert_file = "tls.crt";
  config.advertised_address = advertised;
  return config;
}

std::string address_by(const std::vector<std::string>& bound, const std::string& advertised = "") {
  return advertised_by(listener(advertised), bound).address;
}

NodeView node(const std::string& name, Role role) {
  NodeView view;
  view.name = name;
  view.labels = {{"cluster", "prod"}, {"node_name", name}, {"instance", "10.0.0.10:8200"}};
  view.role = role;
  return view;
}

const Advertised kAdvertised = {"https", "exporter.example.org:9825"};

}  // namespace

TEST_CASE("the address that is told is the configured one, else the first that can be reached") {
  CHECK(address_by({"127.0.0.1:40123"}) == "127.0.0.1:40123");
  CHECK(address_by({"[2001:db8::1]:9825", "0.0.0.0:9825"}) == "[2001:db8::1]:9825");
  CHECK(address_by({"localhost:9825"}) == "localhost:9825");
  for (const char* wildcard :
       {"0.0.0.0:9825", "[::]:9825", "[0:0::0]:9825", "[::ffff:0.0.0.0]:9825", "[::ffff:0:0]:1"}) {
    CAPTURE(wildcard);
    CHECK(address_by({wildcard, "10.0.0.1:9825"}) == "");
    CHECK(address_by({wildcard}, "exporter:443") == "exporter:443");
  }
  CHECK(address_by({"[::ffff:10.0.0.1]:9825"}) == "[::ffff:10.0.0.1]:9825");
  CHECK(address_by({"[::1]:9825"}) == "[::1]:9825");
  CHECK(address_by({"127.0.0.1:0"}) == "");  // not bound yet
  CHECK(address_by({}) == "");
  CHECK(address_by({"10.0.0.1:9825"}, "exporter:443") == "exporter:443");
}

TEST_CASE("the scheme that is told is the port's") {
  CHECK(advertised_by(listener(), {}).scheme == "https");
  ListenerConfig demo;
  demo.demo = true;
  CHECK(advertised_by(demo, {}).scheme == "http");
}

TEST_CASE("each node is a target group of its own, with its path and its labels") {
  const std::string text = discover_nodes(
      {node("prod/a", Role::kActive), node("prod/b", Role::kStandby)}, false, kAdvertised);
  CHECK(json::parse(text) == json::parse(R"([
    {"targets": ["exporter.example.org:9825"],
     "labels": {"__metrics_path__": "/metrics/nodes/prod/a", "__scheme__": "https",
                "cluster": "prod", "node_name": "prod/a", "instance": "10.0.0.10:8200",
                "__meta_bao_node_role": "active"}},
    {"targets": ["exporter.example.org:9825"],
     "labels": {"__metrics_path__": "/metrics/nodes/prod/b", "__scheme__": "https",
                "cluster": "prod", "node_name": "prod/b", "instance": "10.0.0.10:8200",
                "__meta_bao_node_role": "standby"}}])"));
  CHECK(text.find('\n') == text.size() - 1);
  CHECK(discover_nodes({}, false, kAdvertised) == "[]\n");
}

TEST_CASE("a node that is not to be discovered is left out, and of overdue ones no role is told") {
  NodeView hidden = node("prod/b", Role::kStandby);
  hidden.discovered = false;
  const auto groups =
      json::parse(discover_nodes({node("prod/a", Role::kActive), hidden}, true, kAdvertised));
  REQUIRE(groups.size() == 1);
  CHECK(groups[0]["labels"]["__metrics_path__"] == "/metrics/nodes/prod/a");
  CHECK(groups[0]["labels"]["__meta_bao_node_role"] == "unknown");
}

TEST_CASE("no label can leave its place in the JSON, and bytes that are not UTF-8 are replaced") {
  const std::string hostile = "\"},{\\\n\t\x01</script>\xc3\xa9";
  NodeView view = node("prod/a", Role::kActive);
  view.labels.emplace_back("pod", hostile);
  auto groups = json::parse(discover_nodes({view}, false, kAdvertised));
  REQUIRE(groups.size() == 1);
  CHECK(groups[0]["labels"]["pod"] == hostile);
  view.labels.back().second = "a\xff";
  groups = json::parse(discover_nodes({view}, false, kAdvertised));
  CHECK(groups[0]["labels"]["pod"] == "a\xef\xbf\xbd");
}

TEST_CASE("each certctl server is a target group of its own, whatever is known of it") {
  ServedCertctl ca;
  ca.name = "ca";
  ca.labels = {{"certctl", "ca"}, {"instance", "ca.example.org:8443"}};
  ServedCertctl lab = ca;
  lab.name = "lab";
  lab.labels = {{"certctl", "lab"}, {"instance", "[2001:db8::1]:8443"}};
  lab.reason = ErrorCode::kDatabaseDown;
  CHECK(json::parse(discover_certctls({ca, lab}, kAdvertised)) == json::parse(R"([
    {"targets": ["exporter.example.org:9825"],
     "labels": {"__metrics_path__": "/metrics/certctl/ca", "__scheme__": "https",
                "certctl": "ca", "instance": "ca.example.org:8443"}},
    {"targets": ["exporter.example.org:9825"],
     "labels": {"__metrics_path__": "/metrics/certctl/lab", "__scheme__": "https",
                "certctl": "lab", "instance": "[2001:db8::1]:8443"}}])"));
  CHECK(discover_certctls({}, kAdvertised) == "[]\n");
}

TEST_CASE("the exporter itself is one target") {
  CHECK(json::parse(discover_exporter(kAdvertised)) == json::parse(R"([
    {"targets": ["exporter.example.org:9825"],
     "labels": {"__metrics_path__": "/metrics/exporter", "__scheme__": "https"}}])"));
}

}  // namespace bao_exporter

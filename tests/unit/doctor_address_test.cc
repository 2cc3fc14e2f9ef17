// What the doctor says of an address: dns, tcp, tls.
#include "bao_exporter/doctor.h"
#include "catch.h"
#include "support/answers.h"
#include "support/evidence.h"

namespace bao_exporter {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test

TEST_CASE("a name without address is the dns check's, and no other line repeats it") {
  const Error error{ErrorCode::kDns, "Could not resolve host: openbao-0.example"};
  NodeEvidence node = failing_node(error, false);
  node.api->url.host = "openbao-0.example";
  check_fail(the(node, "dns"), ErrorCode::kDns, "openbao-0.example has no address", "nameserver");
  for (const char* check : {"tcp", "tls", "health", "metrics", "retention", "clock", "identity"}) {
    CAPTURE(check);
    CHECK(silent_on(node, check));
  }
}

TEST_CASE("a name that has an address is told with it") {
  NodeEvidence node = active_node();
  node.api->url.host = "openbao-0.example";
  check_ok(the(node, "dns"), "openbao-0.example is 10.0.0.10");
}

TEST_CASE("a refused connection and a silent address are the tcp check's") {
  const auto with = [](const std::string& system_words) {
    return failing_node(
        {ErrorCode::kConnect, "Failed to connect to 10.0.0.10 port 8200 (" + system_words + ")"},
        false);
  };
  const NodeEvidence refused = with("Connection refused");
  const Finding finding = the(refused, "tcp");
  check_fail(finding, ErrorCode::kConnect, "10.0.0.10:8200: connection refused",
             "start OpenBao, or correct the port");
  CHECK_FALSE(has(finding.remedy, "NetworkPolicy"));
  check_fail(the(with("No route to host"), "tcp"), ErrorCode::kConnect,
             "10.0.0.10:8200: No route to host", "NetworkPolicy");
  check_fail(the(failing_node({ErrorCode::kTimeout, "timed out"}, false), "tcp"),
             ErrorCode::kTimeout, "no connection within 8 s", "firewall");
  CHECK(silent_on(refused, "tls"));
  CHECK(silent_on(refused, "metrics"));
}

TEST_CASE("an address that was only tried is not taken for a connection") {
  NodeEvidence node = failing_node({ErrorCode::kTimeout, "timed out"}, true);
  node.api->tls.emplace();  // the probe did not get through either
  check_fail(the(node, "tcp"), ErrorCode::kTimeout, "no connection within", "firewall");
}

TEST_CASE("a certificate that ends soon is a warning, with its days") {
  NodeEvidence node = active_node();
  node.api->tls = good_certificate(7);
  check_ok(the(node, "tls"), "openbao-0.test, 10.0.0.10 verifies and ends on 2026-11-30, 7 days");
  node.api->tls = good_certificate(6);
  check_warn(the(node, "tls"), std::nullopt, "6 days left", "renew");
  node.api->tls = good_certificate(1);
  check_warn(the(node, "tls"), std::nullopt, "1 day left", "renew");
}

TEST_CASE("a certificate that does not verify says in words why, and what to do") {
  NodeEvidence node = failing_node({ErrorCode::kTls, "curl's words"}, true);
  const auto with = [&](ChainFault chain, bool name_matches) {
    NodeEvidence changed = node;
    changed.api->tls = good_certificate();
    changed.api->tls->chain = chain;
    changed.api->tls->name_matches = name_matches;
    changed.api->url.host = changed.api->verified_name = "bao.example";
    return changed;
  };
  check_fail(the(with(ChainFault::kUnknownAuthority, true), "tls"), ErrorCode::kTls,
             "signed by \"Our authority\", an authority that ca_file (/etc/bao/ca.pem) does not",
             "if \"Our authority\" is your nodes' authority, put its certificate into ca_file");
  check_fail(the(with(ChainFault::kSelfSigned, true), "tls"), ErrorCode::kTls, "signed by itself",
             "ca_file");
  check_fail(the(with(ChainFault::kNotYetValid, true), "tls"), ErrorCode::kTls,
             "not valid before 2026-11-22", "clock");
  check_fail(the(with(ChainFault::kNone, false), "tls"), ErrorCode::kTls,
             "is for openbao-0.test, 10.0.0.10, not for bao.example",
             "server_name = \"openbao-0.test\"");
  const Finding both = the(with(ChainFault::kUnknownAuthority, false), "tls");
  check_fail(both, ErrorCode::kTls, "signed by", "ca_file");
  check_fail(both, ErrorCode::kTls, "not for bao.example", "server_name");

  NodeEvidence old = with(ChainFault::kExpired, true);
  old.api->tls->certificate.not_after = kNow - 3 * kDay;
  check_fail(the(old, "tls"), ErrorCode::kTls, "expired on 2026-11-20, 3 days ago", "renew");
  check_fail(the(with(ChainFault::kExpired, true), "tls"), ErrorCode::kTls, "an authority above",
             "authority");
  for (const char* check : {"health", "metrics", "identity"}) CHECK(silent_on(old, check));
}

TEST_CASE("a certificate for addresses only is not proposed as server_name") {
  NodeEvidence node = failing_node({ErrorCode::kTls, "curl's words"}, true);
  node.api->tls = good_certificate();
  node.api->tls->certificate.names = {"10.0.0.99", "*.example"};
  node.api->tls->name_matches = false;
  const Finding finding = the(node, "tls");
  check_fail(finding, ErrorCode::kTls, "not for 10.0.0.10", "make a certificate");
  CHECK_FALSE(has(finding.remedy, "server_name"));
}

TEST_CASE("a server_name that is not in the certificate is to be taken out where the address is") {
  NodeEvidence node = failing_node({ErrorCode::kTls, "curl's words"}, true);
  node.api->tls = good_certificate();
  node.api->tls->name_matches = false;
  node.api->verified_name = "bao.example";
  const Finding finding = the(node, "tls");
  check_fail(finding, ErrorCode::kTls, "not for bao.example",
             "take server_name out: the certificate has 10.0.0.10");
  CHECK_FALSE(has(finding.remedy, "set server_name"));
}

TEST_CASE("the name that is proposed as server_name is this node's alone, where it has one") {
  NodeEvidence node = failing_node({ErrorCode::kTls, "curl's words"}, true);
  node.name = "b";
  node.api->tls = good_certificate();
  node.api->tls->name_matches = false;
  const auto remedy_with = [&](std::vector<std::string> names) {
    NodeEvidence changed = node;
    changed.api->tls->certificate.names = std::move(names);
    NodeEvidence other = active_node();
    other.api->tls->certificate.names = {"localhost", "openbao.test", "openbao-0.test"};
    return the(examine(evidence_of({other, changed})), "b", "tls").remedy;
  };
  CHECK(has(remedy_with({"localhost", "openbao.test", "openbao-1.test"}),
            "server_name = \"openbao-1.test\""));
  CHECK(has(remedy_with({"localhost", "openbao.test"}), "server_name = \"openbao.test\""));
  CHECK_FALSE(has(remedy_with({"localhost"}), "server_name"));
}

TEST_CASE("a server that does not do TLS is told by what it does") {
  const auto with = [](Handshake handshake, ErrorCode code) {
    NodeEvidence node = failing_node({code, "curl's words"}, true);
    node.api->tls.emplace();
    node.api->tls->handshake = handshake;
    node.api->tls->words = "wrong version number";
    return the(node, "tls");
  };
  check_fail(with(Handshake::kPlainHttp, ErrorCode::kTls), ErrorCode::kTls, "plain HTTP",
             "correct the port");
  check_fail(with(Handshake::kSilent, ErrorCode::kTimeout), ErrorCode::kTimeout,
             "does not answer the TLS handshake within 8 s", "hangs");
  check_fail(with(Handshake::kClosed, ErrorCode::kReset), ErrorCode::kReset, "closes", "port");
  check_fail(with(Handshake::kNotTls, ErrorCode::kTls), ErrorCode::kTls, "wrong version number",
             "TLS 1.2");
}

TEST_CASE("a good certificate and a handshake that fails is about ours") {
  NodeEvidence node = failing_node({ErrorCode::kTls, "tlsv13 alert certificate required"}, true);
  node.api->tls = good_certificate();
  check_fail(the(node, "tls"), ErrorCode::kTls, "client certificate", "client_cert_file");
}

TEST_CASE("a second handshake that fails after a good poll is a warning") {
  NodeEvidence node = active_node();
  node.api->tls->handshake = Handshake::kClosed;
  check_warn(the(node, "tls"), std::nullopt, "a second handshake was not", "again");
}

TEST_CASE("plain HTTP of a demo is OK") {
  NodeEvidence node = active_node();
  node.api->url.scheme = "http";
  node.api->tls.reset();
  check_ok(the(node, "tls"), "plain HTTP (demo)");
}

TEST_CASE("two addresses of a node have lines of their own") {
  NodeEvidence node = active_node();
  node.metrics = good_address(8202);
  const DoctorReport report = examine(evidence_of({node}));
  for (const char* check : {"dns", "tcp", "tls"}) CHECK(all_of(report, "a", check).size() == 2);
  CHECK(has(all_of(report, "a", "tcp")[0].finding, ":8200"));
  CHECK(has(all_of(report, "a", "tcp")[1].finding, ":8202"));
}

}  // namespace bao_exporter

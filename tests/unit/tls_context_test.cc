// Handshakes with what is current: versions, suites, tickets, client certificates.
#include "io/tls_context.h"

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "catch.h"
#include "support/quiet.h"
#include "support/server_files.h"
#include "support/tls_handshake.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test
using std::chrono::hours;

constexpr int kVersions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

TlsClient of_version(int version_max) {
  TlsClient client;
  client.version_max = version_max;
  return client;
}

bool accepted(const ServerContext& server, const TlsClient& client = {}) {
  return Handshake(server, client).finish();
}

// Whether what a handshake gave is enough for another one.
bool resumes(const ServerContext& server, const std::shared_ptr<SSL_SESSION>& session,
             TlsClient client) {
  client.resumes = session;
  Handshake again(server, client);
  REQUIRE(again.finish());
  return again.resumed();
}

std::shared_ptr<SSL_SESSION> session_of(const ServerContext& server, const TlsClient& client) {
  Handshake first(server, client);
  REQUIRE(first.finish());
  CHECK_FALSE(first.resumed());
  return first.session();
}

// Whose certificates are asked for, and those of several clients.
struct Clients {
  Identity authority = make_identity("Authority of clients", nullptr, "");
  Identity stranger = make_identity("Another authority", nullptr, "");

  [[nodiscard]] Identity with(const std::string& names, const char* purpose = "clientAuth") const {
    return make_identity("prometheus.example", &authority, names, 3'600, -7'200, purpose);
  }
};

// Counts who is refused for his name.
struct Asking {
  Asking(TlsFiles& files, const Clients& clients, std::vector<std::string> names) {
    files.ask_for_clients_of(clients.authority, std::move(names));
    server.emplace(files.good(), ServerContext::Hooks{.on_client_refused = [this] { ++refused; }});
  }
  int refused = 0;
  std::optional<ServerContext> server;
};

bool lets_in(const Asking& asking, const Identity& shown, int version_max = TLS1_3_VERSION) {
  TlsClient client = of_version(version_max);
  client.shows = &shown;
  return accepted(*asking.server, client);
}

}  // namespace

TEST_CASE("1.3 by default, 1.2 where it is allowed, and nothing older") {
  const TlsFiles files;
  const ServerContext server(files.good());
  Handshake newest(server, {});
  REQUIRE(newest.finish());
  CHECK(newest.version() == "TLSv1.3");
  Handshake older(server, of_version(TLS1_2_VERSION));
  REQUIRE(older.finish());
  CHECK(older.version() == "TLSv1.2");
  for (const int version : {TLS1_1_VERSION, TLS1_VERSION}) {
    Handshake refused(server, of_version(version));
    CHECK_FALSE(refused.finish());
    CHECK(refused.words() == "tlsv1 alert protocol version");
  }
}

TEST_CASE("the oldest version changes with a reload, there and back") {
  TlsFiles files;
  ServerContext server(files.good());
  for (int twice = 0; twice < 2; ++twice) {
    CHECK(accepted(server, of_version(TLS1_2_VERSION)));
    files.config.tls_min_version = "1.3";
    CHECK(server.replace(files.good()));
    Handshake refused(server, of_version(TLS1_2_VERSION));
    CHECK_FALSE(refused.finish());
    CHECK(refused.words() == "tlsv1 alert protocol version");
    CHECK(accepted(server));
    files.config.tls_min_version = "1.2";
    CHECK(server.replace(files.good()));
  }
}

TEST_CASE("of TLS 1.2 only forward secrecy with authenticated encryption") {
  const TlsFiles files;
  const ServerContext server(files.good());
  TlsClient client = of_version(TLS1_2_VERSION);
  for (const char* good : {"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256",
                           "ECDHE-ECDSA-CHACHA20-POLY1305"}) {
    INFO(good);
    client.ciphers12 = good;
    CHECK(accepted(server, client));
  }
  client.ciphers12 = "ALL:COMPLEMENTOFALL:!AESGCM:!CHACHA20:@SECLEVEL=0";
  CHECK_FALSE(accepted(server, client));
  client.ciphers12 = "ALL:COMPLEMENTOFALL:!ECDHE:@SECLEVEL=0";
  CHECK_FALSE(accepted(server, client));
}

TEST_CASE("three groups, and a client that guessed another one is asked again") {
  const TlsFiles files;
  const ServerContext server(files.good());
  TlsClient client;
  for (const char* good : {"X25519", "P-256", "P-384", "P-521:P-384"}) {
    INFO(good);
    client.groups = good;
    CHECK(accepted(server, client));
  }
  for (const char* other : {"P-521", "X448", "ffdhe2048"}) {
    INFO(other);
    client.groups = other;
    CHECK_FALSE(accepted(server, client));
  }
}

TEST_CASE("each handshake shows the pair that is current when it begins") {
  TlsFiles files;
  ServerContext server(files.good());
  const Identity next = files.issue(7'200);
  Handshake before(server, {});
  before.step_client();
  before.step_server();
  files.show(next);
  REQUIRE(server.replace(files.good()));
  CHECK(server.not_after() == next.not_after);
  REQUIRE(before.finish());
  CHECK(::X509_cmp(before.shown(), files.server.certificate.get()) == 0);
  Handshake after(server, {});
  REQUIRE(after.finish());
  CHECK(::X509_cmp(after.shown(), next.certificate.get()) == 0);
}

TEST_CASE("no handshake fails while everything is replaced a thousand times") {
  const TlsFiles one;
  const TlsFiles two;
  const TlsPtr pairs[] = {one.good(), two.good()};
  ServerContext server(pairs[0]);
  std::atomic<bool> done{false};
  std::atomic<int> failed{0};
  const auto shake_hands = [&] {
    const TlsClient client;
    while (!done) {
      Handshake handshake(server, client);
      const bool good =
          handshake.finish() && (::X509_cmp(handshake.shown(), one.server.certificate.get()) == 0 ||
                                 ::X509_cmp(handshake.shown(), two.server.certificate.get()) == 0);
      if (!good) ++failed;
    }
  };
  {
    const std::jthread first(shake_hands);
    const std::jthread second(shake_hands);
    for (int i = 1; i <= 1'000; ++i) {
      REQUIRE(server.replace(pairs[i % 2]));
      if (i % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    done = true;
  }
  CHECK(failed == 0);
}

TEST_CASE("a ticket is taken until a reload changes something, and not after it") {
  for (const int version : kVersions) {
    INFO(version);
    TlsFiles files;
    ServerContext server(files.good());
    const TlsClient client = of_version(version);
    const auto session = session_of(server, client);
    REQUIRE(session != nullptr);
    CHECK(resumes(server, session, client));
    CHECK_FALSE(server.replace(files.good()));  // the same
    CHECK(resumes(server, session, client));

    files.show(files.issue());
    REQUIRE(server.replace(files.good()));
    CHECK_FALSE(resumes(server, session, client));
    const auto another = session_of(server, client);
    CHECK(resumes(server, another, client));
    files.show(files.server);  // the first one again does not bring its tickets back
    REQUIRE(server.replace(files.good()));
    CHECK_FALSE(resumes(server, session, client));
    CHECK_FALSE(resumes(server, another, client));
  }
}

TEST_CASE("a handshake that a reload overtakes gets a ticket of before the reload") {
  for (const int version : kVersions) {
    INFO(version);
    TlsFiles files;
    ServerContext server(files.good());
    Handshake overtaken(server, of_version(version));
    overtaken.step_client();
    overtaken.step_server();
    files.show(files.issue());
    REQUIRE(server.replace(files.good()));
    REQUIRE(overtaken.finish());
    REQUIRE(overtaken.session() != nullptr);
    CHECK_FALSE(resumes(server, overtaken.session(), of_version(version)));
  }
}

TEST_CASE("ticket keys are renewed by age, and the one before still opens") {
  for (const int version : kVersions) {
    INFO(version);
    const TlsFiles files;
    TimePoint now = Clock::now();
    const ServerContext server(files.good(), {.now = [&] { return now; }});
    const TlsClient client = of_version(version);
    const auto session = session_of(server, client);
    now += hours(11);
    CHECK(resumes(server, session, client));
    now += hours(2);
    CHECK(resumes(server, session, client));
    const auto second = session_of(server, client);
    now += hours(12);
    CHECK_FALSE(resumes(server, session, client));
    CHECK(resumes(server, second, client));
    now += hours(100);
    CHECK_FALSE(resumes(server, second, client));
  }
}

TEST_CASE("before a handshake is made it is asked for, and told when it has done what it can") {
  const TlsFiles files;
  for (const int version : kVersions) {
    int before = 0, after = 0;
    ServerContext::Hooks hooks;
    hooks.before_handshake = [&](int) {
      CHECK(after == 0);
      ++before;
      return true;
    };
    hooks.after_handshake = [&](int) { ++after; };
    const ServerContext server(files.good(), std::move(hooks));
    Handshake handshake(server, of_version(version));
    handshake.step_client();
    handshake.step_server();
    CHECK(after == 1);  // it waits for the client now
    CHECK(handshake.finish());
    CHECK(before == 1);
  }
}

TEST_CASE("a second hello, which a signature follows, too, is asked for as the first") {
  const TlsFiles files;
  bool last_answer = true;
  int before = 0;
  ServerContext::Hooks hooks;
  hooks.before_handshake = [&](int) { return ++before == 1 || last_answer; };
  const ServerContext server(files.good(), std::move(hooks));
  TlsClient client;
  client.groups = "P-521:P-384";
  CHECK(Handshake(server, client).finish());
  CHECK(before == 2);
  before = 0;
  last_answer = false;
  CHECK_FALSE(Handshake(server, client).finish());
  CHECK(before == 2);
}

TEST_CASE("a handshake that may not be made is dropped without a word") {
  const TlsFiles files;
  int after = 0;
  ServerContext::Hooks hooks;
  hooks.before_handshake = [](int) { return false; };
  hooks.after_handshake = [&](int) { ++after; };
  const ServerContext server(files.good(), std::move(hooks));
  Handshake dropped(server, {});
  dropped.step_client();
  dropped.step_server();
  CHECK(dropped.server_dropped_it());
  CHECK(after == 1);
}

TEST_CASE("tickets are the only way to resume: a session has no number to ask for") {
  const TlsFiles files;
  const ServerContext server(files.good());
  Handshake first(server, of_version(TLS1_2_VERSION));
  REQUIRE(first.finish());
  CHECK(SSL_CTX_get_session_cache_mode(server.get()) == SSL_SESS_CACHE_OFF);
  CHECK(::SSL_SESSION_has_ticket(first.session().get()) == 1);
  CHECK(::SSL_SESSION_get_ticket_lifetime_hint(first.session().get()) == 3'600);
}

TEST_CASE("who is asked for a certificate has to show a good one") {
  TlsFiles files;
  const Clients clients;
  const Asking asking(files, clients, {});
  const Identity good = clients.with("DNS:prometheus.example");
  const Identity any_purpose = clients.with("", nullptr);
  const Identity server_only = clients.with("DNS:prometheus.example", "serverAuth");
  const Identity of_other =
      make_identity("prometheus.example", &clients.stranger, "DNS:prometheus.example");
  const Identity expired = make_identity("x", &clients.authority, "DNS:x", -60);
  const Identity early = make_identity("x", &clients.authority, "DNS:x", 7'200, 3'600);
  const Identity self_signed = make_identity("x", nullptr, "DNS:x");
  const Identity of_port = files.issue();  // the port's own authority is not the clients'
  for (const int version : kVersions) {
    INFO(version);
    CHECK(lets_in(asking, good, version));
    CHECK(lets_in(asking, any_purpose, version));
    CHECK_FALSE(accepted(*asking.server, of_version(version)));
    for (const Identity* bad :
         {&server_only, &of_other, &expired, &early, &self_signed, &of_port}) {
      CHECK_FALSE(lets_in(asking, *bad, version));
    }
  }
  CHECK(asking.refused == 0);  // that is for names
  Handshake asked(*asking.server, {});
  CHECK_FALSE(asked.finish());
  CHECK(asked.authorities_named() == 1);
  CHECK(asked.words() == "tlsv13 alert certificate required");
}

TEST_CASE("an intermediate authority alone may be whom clients are trusted by") {
  TlsFiles files;
  Clients clients;
  Identity below = make_identity("Intermediate", nullptr, "");
  REQUIRE(::X509_set_issuer_name(below.certificate.get(),
                                 ::X509_get_subject_name(clients.authority.certificate.get())) ==
          1);
  REQUIRE(::X509_sign(below.certificate.get(), clients.authority.key.get(), ::EVP_sha256()) > 0);
  const Identity client = make_identity("x", &below, "DNS:x");
  {
    files.ask_for_clients_of(below);
    const ServerContext server(files.good());
    TlsClient shows;
    shows.shows = &client;
    CHECK(accepted(server, shows));
    const Identity of_root = clients.with("DNS:x");
    shows.shows = &of_root;
    CHECK_FALSE(accepted(server, shows));
  }
  files.ask_for_clients_of(clients.authority);
  const ServerContext server(files.good());
  TlsClient shows;
  shows.shows = &client;
  CHECK_FALSE(accepted(server, shows));
  shows.intermediate = &below;
  CHECK(accepted(server, shows));
}

TEST_CASE("of good certificates those with an allowed name are let in, the others counted") {
  struct Row {
    std::string names;
    bool in;
  };
  TlsFiles files;
  const Clients clients;
  const Asking asking(files, clients,
                      {"prometheus.example", "*.wild.example", "spiffe://example/ns/m/sa/p"});
  int refused = 0;
  for (const Row& row : std::vector<Row>{
           {"DNS:prometheus.example", true},
           {"DNS:PROMETHEUS.Example", true},
           {"DNS:other.example,DNS:prometheus.example", true},
           {"URI:spiffe://example/ns/m/sa/p", true},
           {"DNS:other.example,URI:spiffe://example/ns/m/sa/p", true},
           {"DNS:*.wild.example", true},
           {"", false},  // its common name is an allowed one
           {"DNS:other.example", false},
           {"DNS:*.example", false},
           {"DNS:a.wild.example", false},
           {"DNS:prometheus.example.org", false},
           {"DNS:xprometheus.example", false},
           {"DNS:prometheus.example.", false},
           {"URI:spiffe://EXAMPLE/ns/m/sa/p", false},
           {"URI:spiffe://example/ns/m/sa/p/q", false},
           {"URI:prometheus.example", false},
           {"DNS:spiffe\\://example/ns/m/sa/p", false},
           {"email:p@prometheus.example,IP:127.0.0.1,RID:1.2.3.4", false},
       }) {
    const Identity shown = clients.with(row.names);
    for (const int version : kVersions) {
      INFO(row.names << " " << version);
      CHECK(lets_in(asking, shown, version) == row.in);
      if (!row.in) ++refused;
      CHECK(asking.refused == refused);
    }
  }
}

TEST_CASE("a name with a zero byte in it is not the name before it") {
  TlsFiles files;
  const Clients clients;
  const Asking asking(files, clients, {"prometheus.example"});
  Identity shown = make_identity("x", &clients.authority, "");
  GENERAL_NAME* name = ::GENERAL_NAME_new();
  ASN1_IA5STRING* text = ::ASN1_IA5STRING_new();
  constexpr std::string_view kBytes("prometheus.example\0.evil.example", 32);
  REQUIRE(::ASN1_STRING_set(text, kBytes.data(), kBytes.size()) == 1);
  ::GENERAL_NAME_set0_value(name, GEN_DNS, text);
  const Owned<GENERAL_NAMES> names(::GENERAL_NAMES_new());
  REQUIRE(sk_GENERAL_NAME_push(names.get(), name) > 0);
  REQUIRE(::X509_add1_ext_i2d(shown.certificate.get(), NID_subject_alt_name, names.get(), 0, 0) ==
          1);
  REQUIRE(::X509_sign(shown.certificate.get(), clients.authority.key.get(), ::EVP_sha256()) > 0);
  CHECK_FALSE(lets_in(asking, shown));
  CHECK(asking.refused == 1);
}

TEST_CASE("where certificates are asked for, each handshake shows one: nothing is resumed") {
  for (const int version : kVersions) {
    INFO(version);
    TlsFiles files;
    const Clients clients;
    ServerContext server(files.good());
    TlsClient client = of_version(version);
    const auto without = session_of(server, client);
    REQUIRE(without != nullptr);

    files.ask_for_clients_of(clients.authority, {"a", "b"});
    REQUIRE(server.replace(files.good()));
    client.resumes = without;  // of when nobody was asked
    CHECK_FALSE(accepted(server, client));

    const Identity a = clients.with("DNS:a");
    client.resumes = nullptr;
    client.shows = &a;
    const auto with = session_of(server, client);
    CHECK(with == nullptr);  // nothing was given for that
    for (const auto& names : {std::vector<std::string>{"b"}, std::vector<std::string>{"b", "c"}}) {
      files.ask_for_clients_of(clients.authority, names);
      REQUIRE(server.replace(files.good()));
      CHECK_FALSE(accepted(server, client));
    }
    files.ask_for_clients_of(clients.stranger, {"a"});
    REQUIRE(server.replace(files.good()));
    CHECK_FALSE(accepted(server, client));
  }
}

TEST_CASE("a certificate that is asked for is asked for after a second hello, too") {
  TlsFiles files;
  const Clients clients;
  files.ask_for_clients_of(clients.authority);
  const ServerContext server(files.good());
  TlsClient client;
  client.groups = "P-521:P-256";
  CHECK_FALSE(accepted(server, client));
  const Identity good = clients.with("DNS:x");
  client.shows = &good;
  CHECK(accepted(server, client));
}

TEST_CASE("who was let in before is known when a reload changes who is let in, and only then") {
  TlsFiles files;
  const Clients clients;
  ServerContext server(files.good());
  std::uint64_t last = server.admission();
  const auto changes = [&] {
    REQUIRE(server.replace(files.good()));
    return std::exchange(last, server.admission()) != last;
  };
  files.show(files.issue());
  CHECK_FALSE(changes());
  files.config.tls_min_version = "1.3";
  CHECK_FALSE(changes());
  files.ask_for_clients_of(clients.authority, {"a"});
  CHECK(changes());
  files.config.client_allowed_names = {"b"};
  CHECK(changes());
  files.ask_for_clients_of(clients.stranger, {"b"});
  CHECK(changes());
  files.config.client_ca_file.clear();
  CHECK(changes());
}

}  // namespace bao_exporter

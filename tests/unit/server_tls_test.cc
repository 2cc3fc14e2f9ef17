// What is read for the port's TLS, and judged, before any handshake.
#include "io/server_tls.h"

#include <atomic>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <string>
#include <thread>

#include "bao_exporter/listener.h"
#include "catch.h"
#include "support/listening.h"
#include "support/quiet.h"
#include "support/server_files.h"

namespace bao_exporter {

namespace {

using namespace test;  // NOLINT(google-build-using-namespace): the helpers of this test
namespace fs = std::filesystem;

bool has(const std::string& text, std::string_view words) {
  return text.find(words) != std::string::npos;
}

constexpr int kSwaps = 1'000;

// Beside it, then over it.
void rename_over(const Folder& folder, const std::string& name, const std::string& text) {
  folder.write(name + ".new", text);
  fs::rename(folder.path(name + ".new"), folder.path(name));
}

// As Kubernetes' AtomicWriter: a folder of a time, a link swapped to it, the old folder removed.
void swap_data(const Folder& folder, int number, const Identity& pair) {
  const std::string before = fs::is_symlink(folder.path("..data"))
                                 ? fs::read_symlink(folder.path("..data")).string()
                                 : std::string();
  const std::string now = "..2026_" + std::to_string(number);
  fs::create_directory(folder.path(now));
  folder.write(now + "/tls.crt", pair.certificate_pem());
  folder.write(now + "/tls.key", pair.key_pem());
  fs::create_symlink(now, folder.path("..data_tmp"));
  fs::rename(folder.path("..data_tmp"), folder.path("..data"));
  if (!before.empty()) fs::remove_all(folder.path(before));
}

bool fits(const ServerTls& tls) {
  return ::X509_check_private_key(tls.certificate.get(), tls.key.get()) == 1;
}

struct Reads {
  int good = 0;
  int refused = 0;
  int torn = 0;
};

// Reads for as long as `swaps` goes on in another thread.
template <typename Swaps>
Reads read_during(const TlsFiles& files, Swaps swaps) {
  std::atomic<bool> done{false};
  std::jthread swapper([&] {
    for (int i = 0; i < kSwaps; ++i) swaps(i);
    done = true;
  });
  Reads reads;
  while (!done) {
    const auto tls = files.load();
    if (!tls.ok()) {
      ++reads.refused;
    } else {
      ++(fits(*tls.value()) ? reads.good : reads.torn);
    }
  }
  return reads;
}

}  // namespace

TEST_CASE("a thousand renames of certificate and key while they are read: never a torn pair") {
  const TlsFiles files;
  const Identity other = files.issue();
  const Reads reads = read_during(files, [&](int i) {
    const Identity& next = i % 2 == 0 ? other : files.server;
    rename_over(files.folder, "tls.crt", next.certificate_pem());
    rename_over(files.folder, "tls.key", next.key_pem());
  });
  CHECK(reads.torn == 0);
  CHECK(reads.good > 0);
  CHECK(files.load().ok());
}

TEST_CASE("a thousand swaps of ..data while they are read: never a torn pair, few are refused") {
  const TlsFiles files;
  const Identity other = files.issue();
  swap_data(files.folder, -1, files.server);
  for (const char* name : {"tls.crt", "tls.key"}) {
    fs::remove(files.folder.path(name));
    fs::create_symlink(std::string("..data/") + name, files.folder.path(name));
  }
  const Reads reads = read_during(
      files, [&](int i) { swap_data(files.folder, i, i % 2 == 0 ? other : files.server); });
  CHECK(reads.torn == 0);
  CHECK(reads.good > 0);
  CHECK(reads.refused < reads.good);  // of reads without a pause, while it is swapped without one
  CHECK(files.load().ok());
}

TEST_CASE("a pair that comes in two steps is waited for, a little") {
  const TlsFiles files;
  const Identity other = files.issue();
  files.folder.write("tls.crt", other.certificate_pem());
  std::jthread late([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    rename_over(files.folder, "tls.key", other.key_pem());
  });
  // On a machine that is busy the second step may come too late: then it is refused, and whole.
  const auto tls = files.load();
  if (tls.ok()) CHECK(fits(*tls.value()));
  late.join();
  CHECK(files.load().ok());
}

TEST_CASE("what a certificate file holds is taken whole, or not") {
  const TlsFiles files;
  const std::string two = files.server.certificate_pem() + files.authority.certificate_pem();
  files.folder.write("tls.crt", "words before\n" + two + "words after\n");
  const auto tls = files.load();
  REQUIRE(tls.ok());
  CHECK(sk_X509_num(tls.value()->chain.get()) == 1);
  // Every cut that leaves a part of the second one.
  const std::size_t first = files.server.certificate_pem().size();
  for (std::size_t size = first + 30; size + 30 < two.size(); size += 37) {
    files.folder.write("tls.crt", two.substr(0, size));
    INFO(size);
    CHECK(has(files.refusal(), "tls.crt: holds a certificate that cannot be read"));
  }
}

TEST_CASE("a key that is too weak is refused when it is read, not in each handshake") {
  const TlsFiles files;
  files.show(make_identity("weak", &files.authority, kLocalNames, 3'600, -7'200, nullptr, true));
  CHECK(has(files.refusal(), "tls.crt: cannot be shown"));
  CHECK(has(files.refusal(), "RSA of 2048 bits"));
}

TEST_CASE("the clients' authority is one that can sign") {
  TlsFiles files;
  files.config.client_ca_file = files.folder.path("clients.pem");
  CHECK(has(files.refusal(), "clients.pem: cannot be opened"));
  files.folder.write("clients.pem", "not PEM\n");
  CHECK(has(files.refusal(), "clients.pem: holds no certificate in PEM"));
  files.folder.write("clients.pem", files.server.certificate_pem());
  CHECK(has(files.refusal(), "clients.pem: holds a certificate that is not an authority's"));
  files.folder.write("clients.pem",
                     files.authority.certificate_pem() + files.server.certificate_pem());
  CHECK(has(files.refusal(), "not an authority's"));
  files.folder.write("clients.pem", files.authority.certificate_pem());
  REQUIRE(files.load().ok());
  CHECK(files.good()->asks_for_certificates());
}

TEST_CASE("a reload takes what is good as a whole, exact to the second, and else keeps the old") {
  Listening listening([](const HttpRequest&) { return reply_with("x"); });
  REQUIRE(listening.listener != nullptr);
  Listener& listener = *listening.listener;
  const auto show = [&](const Identity& pair) {
    (void)write_server_files(listening.folder, "server", pair);
  };
  const auto issue = [&](std::int64_t lifetime, std::int64_t begins) {
    return make_identity("server", &listening.authority, kLocalNames, lifetime, begins);
  };
  CHECK(listener.certificate_not_after() == listening.server.not_after);
  const Identity next = issue(86'461, -60);
  show(next);
  const auto changed = [&] {
    const auto replaced = listener.replace_tls(listening.config);
    REQUIRE(replaced.ok());
    return replaced.value();
  };
  CHECK(changed());
  CHECK(listener.certificate_not_after() == next.not_after);

  const auto refused = [&](std::string_view words) {
    const auto replaced = listener.replace_tls(listening.config);
    REQUIRE_FALSE(replaced.ok());
    CHECK(replaced.error().code == ErrorCode::kConfig);
    CHECK(has(replaced.error().detail, words));
    CHECK(listener.certificate_not_after() == next.not_after);
  };
  show(issue(-60, -7'200));
  refused("server.pem: the certificate has expired");
  show(issue(7'200, 3'600));
  refused("server.pem: the certificate is not valid yet");
  listening.folder.write("server.pem", next.certificate_pem());
  refused("server-key.pem: is not the key of ");
  listening.folder.write("server.pem", "not PEM\n");
  refused("server.pem: holds no certificate in PEM");
  show(next);
  listening.folder.write("server-key.pem", next.key_pem(), 0644);
  refused("server-key.pem: is accessible to others");
  std::filesystem::remove(listening.folder.path("server-key.pem"));
  refused("server-key.pem: cannot be opened");
  show(next);
  listening.config.client_ca_file = listening.folder.write(
      "clients.pem", make_identity("Old", nullptr, "", -60).certificate_pem());
  refused("clients.pem: the clients' authority has expired");
  listening.config.client_ca_file.clear();
  CHECK_FALSE(changed());
}

TEST_CASE("a start with a certificate that is out of date is told, and goes on") {
  for (const auto& [lifetime, begins] : {std::pair(-60, -7'200), std::pair(7'200, 3'600)}) {
    TlsFiles files;
    files.show(files.issue(lifetime, begins));
    REQUIRE(files.load().ok());
    CHECK(date_problem(*files.good(), files.config, ::time(nullptr)).has_value());
    CHECK(Listener::start(files.config, [](const HttpRequest&) { return Reply(); }).ok());
  }
}

}  // namespace bao_exporter

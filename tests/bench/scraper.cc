// An honest scraper: scrapes at a steady pace, some at once where they take long, each within its
// deadline, and tells how long they took as one line of JSON.
#include <arpa/inet.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "bench/sockets.h"

namespace {

using bench::Clock;
using bench::Time;

struct Plan {
  std::string to;
  std::string from = "127.0.0.1";
  std::vector<std::string> paths = {"/metrics"};  // in turns
  std::string token;
  std::string ca_file;
  long scrapes = 1000;
  double rate = 100;  // a second
  std::size_t at_once = 16;
  double seconds = 30;  // not begun after that
  long deadline_ms = 1000;
  bool keep_alive = false;
  bool plain = false;  // asks for no gzip
};

volatile std::sig_atomic_t stopped = 0;
void on_signal(int /*number*/) { stopped = 1; }

// Why a scrape failed; nullptr: it did not.
using Failure = const char*;

class Scraper {
 public:
  Scraper(const Plan& plan, SSL_CTX* context)
      : plan_(plan), context_(context), server_(bench::parse_address(plan.to)) {}
  ~Scraper() { close(); }
  Scraper(const Scraper&) = delete;
  Scraper& operator=(const Scraper&) = delete;

  Failure scrape(const std::string& path, Time deadline) {
    deadline_ = deadline;
    request_ = "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " +
               plan_.token + (plan_.plain ? "" : "\r\nAccept-Encoding: gzip") + "\r\n\r\n";
    // As Prometheus does: a kept connection that was closed meanwhile is replaced.
    if (fd_ >= 0 && exchange() == nullptr) return nullptr;
    close();
    if (Failure why = connect()) return why;
    if (Failure why = exchange()) return why;
    if (!plan_.keep_alive) close();
    return nullptr;
  }

  void close() {
    if (ssl_ != nullptr) {
      ::ERR_clear_error();
      ::SSL_shutdown(ssl_.get());
    }
    ssl_.reset();
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  // Reads the whole body, packed or not; not timed.
  [[nodiscard]] bool body_is_good() const {
    const auto end = answer_.find("\r\n\r\n");
    if (!packed_) return answer_.ends_with('\n') || answer_.ends_with("\r\n\r\n");
    z_stream stream{};
    if (::inflateInit2(&stream, 31) != Z_OK) return false;
    std::vector<unsigned char> plain(1U << 16);
    stream.next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(answer_.data() + end + 4));
    stream.avail_in = static_cast<unsigned>(answer_.size() - end - 4);
    int result = Z_OK;
    while (result == Z_OK) {
      stream.next_out = plain.data();
      stream.avail_out = static_cast<unsigned>(plain.size());
      result = ::inflate(&stream, Z_NO_FLUSH);
    }
    ::inflateEnd(&stream);
    return result == Z_STREAM_END && stream.avail_in == 0;
  }

 private:
  // Waits for the socket; false after the deadline.
  [[nodiscard]] bool wait(short events) const {
    const auto left = std::chrono::ceil<bench::Milliseconds>(deadline_ - Clock::now()).count();
    if (left <= 0) return false;
    pollfd wanted{fd_, events, 0};
    return ::poll(&wanted, 1, static_cast<int>(left)) > 0;
  }

  // Of an operation of OpenSSL that did not do it at once: nullptr when it should be tried again.
  [[nodiscard]] Failure wait_for_tls(int result, Failure what) const {
    const int why = ::SSL_get_error(ssl_.get(), result);
    if (why == SSL_ERROR_WANT_READ) return wait(POLLIN) ? nullptr : "deadline";
    if (why == SSL_ERROR_WANT_WRITE) return wait(POLLOUT) ? nullptr : "deadline";
    return what;
  }

  Failure connect() {
    in_addr source{};
    ::inet_pton(AF_INET, plan_.from.c_str(), &source);
    fd_ = bench::open_from(source);
    if (fd_ < 0) return "no socket";
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&server_), sizeof server_) != 0 &&
        errno != EINPROGRESS) {
      return "no port";
    }
    if (!wait(POLLOUT)) return "deadline";
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return "refused";
    ssl_.reset(::SSL_new(context_));
    ::SSL_set_fd(ssl_.get(), fd_);
    ::SSL_set1_host(ssl_.get(), nullptr);
    ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl_.get()), "127.0.0.1");
    while (true) {
      ::ERR_clear_error();
      const int done = ::SSL_connect(ssl_.get());
      if (done == 1) return nullptr;
      if (Failure why = wait_for_tls(done, "closed in the handshake")) return why;
    }
  }

  Failure exchange() {
    while (true) {
      ::ERR_clear_error();
      const int done = ::SSL_write(ssl_.get(), request_.data(), static_cast<int>(request_.size()));
      if (done > 0) break;
      if (Failure why = wait_for_tls(done, "closed before the request")) return why;
    }
    answer_.clear();
    std::vector<char> buffer(1U << 16);
    while (!is_whole()) {
      ::ERR_clear_error();
      const int got = ::SSL_read(ssl_.get(), buffer.data(), static_cast<int>(buffer.size()));
      if (got > 0) {
        answer_.append(buffer.data(), static_cast<std::size_t>(got));
        continue;
      }
      const Failure when = answer_.empty() ? "closed before the answer" : "closed in the answer";
      if (Failure why = wait_for_tls(got, when)) return why;
    }
    if (!answer_.starts_with("HTTP/1.1 200 ")) return "another status than 200";
    return Clock::now() > deadline_ ? "deadline" : nullptr;
  }

  [[nodiscard]] bool is_whole() {
    const auto end = answer_.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    std::string head = answer_.substr(0, end + 2);
    std::transform(head.begin(), head.end(), head.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    packed_ = head.find("\r\ncontent-encoding: gzip\r\n") != std::string::npos;
    const std::string length = "\r\ncontent-length: ";
    const auto at = head.find(length);
    if (at == std::string::npos) return answer_.ends_with("\r\n0\r\n\r\n");  // chunks
    return answer_.size() >= end + 4 + std::stoul(head.substr(at + length.size()));
  }

  const Plan& plan_;
  SSL_CTX* context_;
  sockaddr_in server_;
  std::string request_;
  int fd_ = -1;
  bench::Ssl ssl_;
  Time deadline_;
  std::string answer_;
  bool packed_ = false;
};

struct Results {
  std::mutex guard;
  std::vector<double> milliseconds;  // of the good ones
  std::map<std::string, long> failures;
};

// Takes the next scrape that is due until all are done.
void scrape_on(const Plan& plan, SSL_CTX* context, Time begin, std::atomic<long>& taken,
               Results& results) {
  Scraper scraper(plan, context);
  const auto end = begin + std::chrono::duration_cast<Clock::duration>(
                               std::chrono::duration<double>(plan.seconds));
  while (stopped == 0) {
    const long number = taken++;
    if (number >= plan.scrapes || Clock::now() > end) return;
    const std::chrono::duration<double> after(static_cast<double>(number) / plan.rate);
    std::this_thread::sleep_until(begin + std::chrono::duration_cast<Clock::duration>(after));
    const Time from = Clock::now();
    const std::string& path = plan.paths[static_cast<std::size_t>(number) % plan.paths.size()];
    Failure why = scraper.scrape(path, from + bench::Milliseconds{plan.deadline_ms});
    const double took = std::chrono::duration<double, std::milli>(Clock::now() - from).count();
    if (why == nullptr && number % 20 == 0 && !scraper.body_is_good()) why = "a bad body";
    if (why != nullptr) scraper.close();
    const std::lock_guard lock(results.guard);
    if (why == nullptr) {
      results.milliseconds.push_back(took);
    } else {
      ++results.failures[why];
    }
  }
}

double quantile(const std::vector<double>& sorted, double q) {
  if (sorted.empty()) return 0;
  const auto at = static_cast<std::size_t>(q * static_cast<double>(sorted.size()));
  return sorted[std::min(at, sorted.size() - 1)];
}

void print(Results& results, double seconds) {
  auto& times = results.milliseconds;
  std::sort(times.begin(), times.end());
  long failed = 0;
  for (const auto& [why, count] : results.failures) failed += count;
  const nlohmann::json said = {
      {"ok", times.size()},
      {"failed", failed},
      {"p50_ms", quantile(times, .5)},
      {"p99_ms", quantile(times, .99)},
      {"max_ms", quantile(times, 1)},
      {"failures", results.failures},
      {"seconds", seconds},
  };
  std::puts(said.dump().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"scrapes, and tells how long it took"};
  Plan plan;
  app.add_option("--to", plan.to, "ADDRESS:PORT")->required();
  app.add_option("--from", plan.from);
  app.add_option("--path", plan.paths, "some: in turns");
  app.add_option("--token", plan.token)->required();
  app.add_option("--ca-file", plan.ca_file)->required();
  app.add_option("--scrapes", plan.scrapes);
  app.add_option("--rate", plan.rate, "scrapes a second");
  app.add_option("--at-once", plan.at_once, "at most");
  app.add_option("--seconds", plan.seconds, "at most");
  app.add_option("--deadline-ms", plan.deadline_ms, "of each");
  app.add_flag("--keep-alive", plan.keep_alive, "one connection for each at once");
  app.add_flag("--plain", plan.plain, "ask for no gzip");
  CLI11_PARSE(app, argc, argv);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGTERM, &on_signal);
  bench::raise_descriptor_limit();
  const bench::Context context = bench::client_context(plan.ca_file);
  Results results;
  std::atomic<long> taken{0};
  const Time begin = Clock::now();
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < plan.at_once; ++i) {
    threads.emplace_back([&] { scrape_on(plan, context.get(), begin, taken, results); });
  }
  for (auto& thread : threads) thread.join();
  print(results, std::chrono::duration<double>(Clock::now() - begin).count());
  return 0;
}

// The listener on civetweb 1.16, built from source (the binaries that distributions ship crash on
// the first TLS handshake). Its traps, and where they are handled:
//   - it decodes paths in place: decode_url is off, and front_door compares raw bytes;
//   - handlers match by prefix and some methods never reach them: begin_request takes everything;
//   - it answers what it cannot parse with a page of its own: http_error says nothing and it
//   closes;
//   - "Connection: close" by hand does not close: mg_disable_connection_keep_alive does;
//   - of more than 64 headers it drops the rest silently: front_door refuses at 64.
#include <civetweb.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>

#include "bao_exporter/listener.h"
#include "bao_exporter/log.h"
#include "io/tls_context.h"

static_assert(CIVETWEB_VERSION_MAJOR == 1 && CIVETWEB_VERSION_MINOR == 16,
              "civetweb.h of another version: our include folder must come first");

namespace bao_exporter {

namespace {

constexpr std::size_t kWriteBytes = std::size_t{64} << 10;  // four full TLS records
// Only clients that have shown a valid token may stay idle; everybody else has request_timeout.
constexpr const char* kKeepAliveMs = "90000";
constexpr int kWorkersBeyondConnections = 8;
constexpr std::string_view kExpired =
    "the certificate has expired: scrapers that verify it will refuse it; put a new one there";
constexpr std::chrono::seconds kDrainPatience{3};  // the whole end may take 5

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 503:
      return "Service Unavailable";
    default:
      return "Answer";
  }
}

std::string_view view(const char* text) { return text == nullptr ? std::string_view() : text; }

HttpRequest request_of(const mg_request_info& info) {
  HttpRequest request;
  request.method = view(info.request_method);
  request.path = view(info.request_uri);
  for (int i = 0; i < info.num_headers; ++i) {
    request.headers.emplace_back(view(info.http_headers[i].name),    // NOLINT: a C array
                                 view(info.http_headers[i].value));  // NOLINT: a C array
  }
  return request;
}

std::string head_of(const Reply& reply) {
  std::string head = "HTTP/1.1 " + std::to_string(reply.status) + " ";
  head += reason_phrase(reply.status);
  head += "\r\n";
  for (const auto& [name, value] : reply.headers) {
    head += name;
    head += ": ";
    head += value;
    head += "\r\n";
  }
  head += "Content-Length: " + std::to_string(reply.body.bytes()) + "\r\n";
  head += reply.close ? "Connection: close\r\n\r\n" : "Connection: keep-alive\r\n\r\n";
  return head;
}

// Gathers pieces into full writes.
class Writer {
 public:
  explicit Writer(mg_connection* connection) : connection_(connection) {
    buffer_.reserve(kWriteBytes);
  }

  // False once the client is gone.
  bool add(std::string_view piece) {
    while (!piece.empty()) {
      const std::string_view now = piece.substr(0, kWriteBytes - buffer_.size());
      buffer_ += now;
      piece.remove_prefix(now.size());
      if (buffer_.size() == kWriteBytes && !flush()) return false;
    }
    return true;
  }
  bool flush() {
    if (buffer_.empty()) return true;
    const int written = ::mg_write(connection_, buffer_.data(), buffer_.size());
    const bool whole = written == static_cast<int>(buffer_.size());
    buffer_.clear();
    return whole;
  }

 private:
  mg_connection* connection_;
  std::string buffer_;
};

void write_reply(mg_connection* connection, const Reply& reply) {
  Writer writer(connection);
  bool there = writer.add(head_of(reply));
  if (reply.send_body) {
    for (const std::string_view piece : reply.body.pieces()) there = there && writer.add(piece);
  }
  there = there && writer.flush();
  if (!there || reply.close) ::mg_disable_connection_keep_alive(connection);
}

// "host:port" of the configuration in civetweb's words: "s" is TLS, "+" both families.
std::string civet_address(const std::string& address, bool plain) {
  constexpr std::string_view kEverywhere = "[::]:";
  const std::string_view tls = plain ? "" : "s";
  if (address.starts_with(kEverywhere)) {
    return "+" + address.substr(kEverywhere.size()).append(tls);
  }
  return std::string(address).append(tls);
}

std::string named(const ListenerConfig& config) {
  std::string all;
  for (const std::string& address : config.addresses) all += (all.empty() ? "" : ", ") + address;
  return all;
}

std::string with_port(const std::string& address, int port) {
  return address.substr(0, address.rfind(':') + 1) + std::to_string(port);
}

class CivetListener final : public Listener {
 public:
  // `pair` is null: plain HTTP.
  CivetListener(std::shared_ptr<const ServerPair> pair, const std::string& min_version,
                Handler handler)
      : handler_(std::move(handler)) {
    if (pair == nullptr) return;
    not_after_ = pair->not_after;
    tls_.emplace(std::move(pair), min_version);
  }

  ~CivetListener() override {
    drain();
    if (context_ != nullptr) ::mg_stop(context_);
    ::mg_exit_library();
  }

  std::optional<Error> open(const ListenerConfig& config) {
    std::string listening;
    for (const std::string& address : config.addresses) {
      listening += (listening.empty() ? "" : ",") + civet_address(address, !tls_);
    }
    const std::string threads = std::to_string(config.connections_max + kWorkersBeyondConnections);
    const std::string timeout = std::to_string(config.request_timeout.count());
    const std::array<const char*, 17> options = {"listening_ports",
                                                 listening.c_str(),
                                                 "num_threads",
                                                 threads.c_str(),
                                                 "request_timeout_ms",
                                                 timeout.c_str(),
                                                 "enable_keep_alive",
                                                 "yes",
                                                 "keep_alive_timeout_ms",
                                                 kKeepAliveMs,
                                                 "decode_url",
                                                 "no",
                                                 "decode_query_string",
                                                 "no",
                                                 "tcp_nodelay",
                                                 "1",
                                                 nullptr};
    mg_callbacks callbacks{};
    callbacks.begin_request = &CivetListener::begin_request;
    callbacks.http_error = [](mg_connection*, int, const char*) noexcept { return 0; };
    if (tls_) callbacks.external_ssl_ctx = &CivetListener::give_context;
    callbacks.init_connection = [](const mg_connection* connection, void** data) noexcept {
      CivetListener* self = of(connection);
      *data = self;  // marks a connection that was told of
      ++self->open_;
      return 0;
    };
    callbacks.connection_closed = [](const mg_connection* connection) noexcept {
      // Also called for failed handshakes, which were never told of.
      if (::mg_get_user_connection_data(connection) == nullptr) return;
      ::mg_set_user_connection_data(connection, nullptr);
      --of(connection)->open_;
    };
    callbacks.log_message = [](const mg_connection*, const char* message) noexcept {
      log::debug("listener", {{"detail", message}});
      return 1;
    };
    std::array<char, 256> words{};
    mg_init_data init{&callbacks, this, const_cast<const char**>(options.data())};  // NOLINT
    mg_error_data error{};
    error.text = words.data();
    error.text_buffer_size = words.size();
    ::mg_init_library(MG_FEATURES_TLS);
    context_ = ::mg_start2(&init, &error);
    if (context_ == nullptr) {
      return Error{ErrorCode::kIo, "cannot listen on " + named(config) + ": " + words.data() +
                                       "; is the port taken, or the address not ours?"};
    }
    note_ports(config);
    return std::nullopt;
  }

  [[nodiscard]] std::vector<std::string> addresses() const override { return addresses_; }

  void replace_limits(const ListenerConfig&) override {}

  [[nodiscard]] PortCounts counts() const override {
    PortCounts counts;
    counts.open = open_.load();
    return counts;
  }

  [[nodiscard]] std::optional<Error> replace_tls(const ListenerConfig& config) override {
    if (!tls_) return std::nullopt;
    auto pair = load_server_pair(config.tls_cert_file, config.tls_key_file);
    if (!pair.ok()) return pair.error();
    if (pair.value()->expired_at(::time(nullptr))) {
      return Error{ErrorCode::kConfig, config.tls_cert_file + ": " + std::string(kExpired)};
    }
    not_after_.store(pair.value()->not_after);
    tls_->replace(std::move(pair).value());
    return std::nullopt;
  }

  [[nodiscard]] std::optional<std::int64_t> certificate_not_after() const override {
    return tls_ ? std::optional(not_after_.load()) : std::nullopt;
  }

 private:
  // mg_stop cuts what is being written, so answers under way end before it; new ones are refused.
  void drain() {
    std::unique_lock lock(answers_mutex_);
    draining_ = true;
    (void)answers_ended_.wait_for(lock, kDrainPatience, [this] { return answers_ == 0; });
  }
  [[nodiscard]] bool begin_answer() {
    const std::scoped_lock lock(answers_mutex_);
    if (draining_) return false;
    ++answers_;
    return true;
  }
  void end_answer() {
    const std::scoped_lock lock(answers_mutex_);
    if (--answers_ == 0) answers_ended_.notify_all();
  }

  static CivetListener* of(const mg_connection* connection) {
    return static_cast<CivetListener*>(::mg_get_user_data(::mg_get_context(connection)));
  }

  void note_ports(const ListenerConfig& config) {
    std::vector<mg_server_port> ports(config.addresses.size() * 2);
    const int count = ::mg_get_server_ports(context_, static_cast<int>(ports.size()), ports.data());
    for (std::size_t i = 0; i < config.addresses.size(); ++i) {
      const int port = i < static_cast<std::size_t>(std::max(count, 0)) ? ports[i].port : 0;
      addresses_.push_back(with_port(config.addresses[i], port));
    }
  }

  static int give_context(void** context, void* self) noexcept {
    *context = static_cast<CivetListener*>(self)->tls_->get();  // the same each time, as it demands
    return 1;
  }

  static int begin_request(mg_connection* connection) noexcept {
    CivetListener* self = of(connection);
    if (!self->begin_answer()) {
      ::mg_disable_connection_keep_alive(connection);
      return 503;  // closed without a word: we are stopping
    }
    const mg_request_info* info = ::mg_get_request_info(connection);
    Reply reply = self->handler_(request_of(*info));
    if (view(info->http_version) != "1.1") reply.close = true;
    write_reply(connection, reply);
    self->end_answer();
    return reply.status;
  }

  std::atomic<std::int64_t> not_after_{0};
  std::optional<ServerContext> tls_;  // empty: plain HTTP
  Handler handler_;
  std::atomic<std::size_t> open_{0};
  mg_context* context_ = nullptr;
  std::vector<std::string> addresses_;
  std::mutex answers_mutex_;  // guards the two below
  int answers_ = 0;
  bool draining_ = false;
  std::condition_variable answers_ended_;
};

}  // namespace

std::optional<Error> Listener::check_tls(const ListenerConfig& config) {
  if (config.plain_http()) return std::nullopt;
  auto pair = load_server_pair(config.tls_cert_file, config.tls_key_file);
  if (!pair.ok()) return pair.error();
  return std::nullopt;
}

Result<std::unique_ptr<Listener>> Listener::start(const ListenerConfig& config, Handler handler,
                                                  std::function<void()> /*on_client_refused*/) {
  std::shared_ptr<const ServerPair> pair;
  if (!config.plain_http()) {
    auto loaded = load_server_pair(config.tls_cert_file, config.tls_key_file);
    if (!loaded.ok()) return loaded.error();
    pair = std::move(loaded).value();
    if (pair->expired_at(::time(nullptr))) {
      log::warn("certificate",
                {{"file", config.tls_cert_file}, {"problem", std::string(kExpired)}});
    }
  }
  auto listener =
      std::make_unique<CivetListener>(std::move(pair), config.tls_min_version, std::move(handler));
  if (auto error = listener->open(config)) return *std::move(error);
  return std::unique_ptr<Listener>(std::move(listener));
}

}  // namespace bao_exporter

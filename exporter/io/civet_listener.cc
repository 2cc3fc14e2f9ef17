// The listener on civetweb 1.16, built from source (the binaries that distributions ship crash on
// the first TLS handshake). Its traps, and where they are handled:
//   - it decodes paths in place: decode_url is off, and front_door compares raw bytes;
//   - handlers match by prefix and some methods never reach them: begin_request takes everything;
//   - it answers what it cannot parse with a page of its own: http_error says nothing and it
//   closes;
//   - it has no say between accept and a worker: the ConnectionGate accepts, and gives it
//   connections by a function of our patch;
//   - "Connection: close" by hand does not close: mg_disable_connection_keep_alive does;
//   - of more than 64 headers it drops the rest silently: front_door refuses at 64.
#include <civetweb.h>
#include <poll.h>

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
#include "io/connection_gate.h"
#include "io/listening_sockets.h"
#include "io/tls_context.h"

static_assert(CIVETWEB_VERSION_MAJOR == 1 && CIVETWEB_VERSION_MINOR == 16,
              "civetweb.h of another version: our include folder must come first");

namespace bao_exporter {

namespace {

constexpr std::size_t kWriteBytes = std::size_t{16} << 10;  // a full TLS record
// Only clients that have shown a valid token may stay idle; everybody else has request_timeout.
constexpr const char* kKeepAliveMs = "90000";
constexpr int kWorkersBeyondConnections = 8;
constexpr Milliseconds kGateFirst{1'000};
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
  request.version = view(info.http_version);
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

// Gathers pieces into full TLS records; what is long enough is not copied.
class Writer {
 public:
  // `progressed` is told of each write that went out.
  Writer(mg_connection* connection, std::function<void(std::size_t)> progressed)
      : connection_(connection), progressed_(std::move(progressed)) {}

  // False once the client is gone.
  bool add(std::string_view piece) {
    while (!piece.empty()) {
      if (buffer_.empty() && piece.size() >= kWriteBytes) {
        if (!write(piece.substr(0, kWriteBytes))) return false;
        piece.remove_prefix(kWriteBytes);
        continue;
      }
      const std::string_view now = piece.substr(0, kWriteBytes - buffer_.size());
      buffer_ += now;
      piece.remove_prefix(now.size());
      if (buffer_.size() == kWriteBytes && !flush()) return false;
    }
    return true;
  }
  bool flush() {
    if (buffer_.empty()) return true;
    const bool whole = write(buffer_);
    buffer_.clear();
    return whole;
  }

 private:
  bool write(std::string_view bytes) {
    const int written = ::mg_write(connection_, bytes.data(), bytes.size());
    if (written != static_cast<int>(bytes.size())) return false;
    progressed_(bytes.size());
    return true;
  }

  mg_connection* connection_;
  std::function<void(std::size_t)> progressed_;
  std::string buffer_;
};

// False as soon as the client goes, or is made to.
bool waited_while_there(int fd, Milliseconds delay) {
  pollfd poll{fd, POLLRDHUP, 0};
  return ::poll(&poll, 1, static_cast<int>(delay.count())) <= 0;
}

void write_reply(mg_connection* connection, const Reply& reply,
                 std::function<void(std::size_t)> progressed) {
  Writer writer(connection, std::move(progressed));
  bool there = writer.add(head_of(reply));
  if (reply.send_body) {
    for (const std::string_view piece : reply.body.pieces()) there = there && writer.add(piece);
  }
  there = there && writer.flush();
  if (!there || reply.close) ::mg_disable_connection_keep_alive(connection);
}

ConnectionLimits limits_of(const ListenerConfig& config) {
  return {static_cast<std::size_t>(config.connections_max),
          static_cast<std::size_t>(config.connections_per_address_max), config.request_timeout,
          config.allowed_networks};
}

class CivetListener final : public Listener {
 public:
  // `tls` is null: plain HTTP.
  CivetListener(std::shared_ptr<const ServerTls> tls, Handler handler,
                std::function<void()> on_client_refused)
      : handler_(std::move(handler)) {
    if (tls == nullptr) return;
    tls_.emplace(std::move(tls),
                 ServerContext::Hooks{
                     .on_client_refused = std::move(on_client_refused),
                     .before_handshake = [this](int fd) { return gate_->begin_handshake(fd); },
                     .after_handshake = [this](int fd) { gate_->end_handshake(fd); }});
  }

  ~CivetListener() override {
    if (gate_ != nullptr) gate_->stop();
    drain();
    if (context_ != nullptr) ::mg_stop(context_);
    ::mg_exit_library();
  }

  std::optional<Error> open(const ListenerConfig& config) {
    auto sockets = open_listening_sockets(config);
    if (!sockets.ok()) return sockets.error();
    for (const ListeningSocket& socket : sockets.value()) {
      if (!socket.admin) addresses_.push_back(socket.address);
    }
    if (auto error = start_workers(config)) return error;
    gate_ = std::make_unique<ConnectionGate>(
        std::move(sockets).value(), !tls_, limits_of(config),
        [this](int fd, bool tls) { return ::mg_take_connection(context_, fd, tls ? 1 : 0) != 0; });
    gate_->start();
    return std::nullopt;
  }

  [[nodiscard]] std::vector<std::string> addresses() const override { return addresses_; }

  void replace_limits(const ListenerConfig& config) override {
    gate_->set_limits(limits_of(config));
  }

  [[nodiscard]] PortCounts counts() const override {
    return gate_ == nullptr ? PortCounts{} : gate_->counts();
  }

  [[nodiscard]] Result<bool> replace_tls(const ListenerConfig& config) override {
    if (!tls_) return false;
    auto tls = load_server_tls(config);
    if (!tls.ok()) return tls.error();
    if (const auto problem = date_problem(*tls.value(), config, ::time(nullptr))) {
      return Error{ErrorCode::kConfig, problem->file + ": " + problem->words};
    }
    const std::uint64_t admission = tls_->admission();
    const bool changed = tls_->replace(std::move(tls).value());
    if (tls_->admission() != admission) gate_->begin_era();
    return changed;
  }

  [[nodiscard]] std::optional<std::int64_t> certificate_not_after() const override {
    return tls_ ? std::optional(tls_->not_after()) : std::nullopt;
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

  // One for each connection that may be there, and some more for those that are being closed.
  std::optional<Error> start_workers(const ListenerConfig& config) {
    const std::string threads = std::to_string(config.connections_max + kWorkersBeyondConnections);
    // The gate is to be the first who ends a connection: it says why.
    const std::string timeout = std::to_string((config.request_timeout + kGateFirst).count());
    const std::array<const char*, 17> options = {"listening_ports",
                                                 "",  // the gate has them
                                                 "num_threads",
                                                 threads.c_str(),
                                                 "connection_queue",
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
                                                 nullptr};
    const mg_callbacks callbacks = callbacks_for_civetweb();
    std::array<char, 256> words{};
    mg_init_data init{&callbacks, this, const_cast<const char**>(options.data())};  // NOLINT
    mg_error_data error{};
    error.text = words.data();
    error.text_buffer_size = words.size();
    ::mg_init_library(MG_FEATURES_TLS);
    context_ = ::mg_start2(&init, &error);
    if (context_ != nullptr) return std::nullopt;
    return Error{ErrorCode::kIo, "cannot start " + threads + " threads for connections: " +
                                     words.data() + "; look at TasksMax and the process limits"};
  }

  [[nodiscard]] mg_callbacks callbacks_for_civetweb() const {
    mg_callbacks callbacks{};
    callbacks.begin_request = &CivetListener::begin_request;
    callbacks.http_error = [](mg_connection*, int, const char*) noexcept { return 0; };
    if (tls_) callbacks.external_ssl_ctx = &CivetListener::give_context;
    callbacks.connection_close = [](const mg_connection* connection) noexcept {
      of(connection)->gate_->leave(::mg_get_connection_socket(connection));
    };
    callbacks.log_message = [](const mg_connection*, const char* message) noexcept {
      log::debug("listener", {{"detail", message}});
      return 1;
    };
    return callbacks;
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
    const int status = self->answer(connection);
    self->end_answer();
    return status;
  }

  int answer(mg_connection* connection) {
    const mg_request_info* info = ::mg_get_request_info(connection);
    const int fd = ::mg_get_connection_socket(connection);
    const ConnectionGate::Origin origin = gate_->origin(fd);
    HttpRequest request = request_of(*info);
    request.peer = origin.peer;
    request.admin = origin.admin;
    gate_->working(fd);
    Reply reply = handler_(request);
    if (view(info->http_version) != "1.1") reply.close = true;
    bool is_told = true;
    if (reply.delay > Milliseconds(0)) {
      (void)gate_->answering(fd, false, 0);  // it waits for nothing of ours
      is_told = waited_while_there(fd, reply.delay);  // who does not wait is not told
    }
    // Looked at after the answer was made: what let this client in is still what lets one in.
    if (!is_told || gate_->is_outdated(fd)) {
      ::mg_disable_connection_keep_alive(connection);
      return reply.status;  // closed without a word: it connects anew
    }
    if (!gate_->answering(fd, reply.authenticated, reply.generation)) reply.close = true;
    write_reply(connection, reply, [this, fd](std::size_t bytes) { gate_->progressed(fd, bytes); });
    gate_->answered(fd);
    return reply.status;
  }

  std::optional<ServerContext> tls_;  // empty: plain HTTP
  Handler handler_;
  mg_context* context_ = nullptr;
  std::unique_ptr<ConnectionGate> gate_;
  std::vector<std::string> addresses_;
  std::mutex answers_mutex_;  // guards the two below
  int answers_ = 0;
  bool draining_ = false;
  std::condition_variable answers_ended_;
};

}  // namespace

std::optional<Error> Listener::check_tls(const ListenerConfig& config) {
  if (config.plain_http()) return std::nullopt;
  auto tls = load_server_tls(config);
  if (!tls.ok()) return tls.error();
  return std::nullopt;
}

Result<std::unique_ptr<Listener>> Listener::start(const ListenerConfig& config, Handler handler,
                                                  std::function<void()> on_client_refused) {
  std::shared_ptr<const ServerTls> tls;
  if (!config.plain_http()) {
    auto loaded = load_server_tls(config);
    if (!loaded.ok()) return loaded.error();
    tls = std::move(loaded).value();
    if (const auto problem = date_problem(*tls, config, ::time(nullptr))) {
      log::warn("certificate", {{"file", problem->file}, {"problem", problem->words}});
    }
  }
  auto listener = std::make_unique<CivetListener>(std::move(tls), std::move(handler),
                                                  std::move(on_client_refused));
  if (auto error = listener->open(config)) return *std::move(error);
  return std::unique_ptr<Listener>(std::move(listener));
}

}  // namespace bao_exporter

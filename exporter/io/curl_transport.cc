// libcurl 7.88 and later. Its traps, and where they are handled:
//   - a silent nameserver blocks the whole loop unless NOSIGNAL and QUICK_EXIT are set:
//   configure();
//   - MAXFILESIZE does not hold for chunked or decompressed bodies: bytes are counted in on_body();
//   - custom headers follow redirects: none is followed, and the token is an Authorization header;
//   - a body without length and chunks counts as whole wherever it stops: refused in finish();
//   - an answer stays in libcurl's buffers, in some versions as long as the multi handle lives:
//   on_body() wipes what is secret where it lay;
//   - CAPATH stays the system's when only CAINFO_BLOB is set: emptied in set_trust().
#include "bao_exporter/curl_transport.h"

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <ctime>
#include <map>
#include <system_error>

#include "ascii.h"
#include "build_info.h"
#include "config_url.h"
#include "io/wiping_memory.h"

static_assert(LIBCURL_VERSION_NUM >= 0x075700, "libcurl 7.87 or later: CURLOPT_QUICK_EXIT");

namespace bao_exporter {

namespace {

struct SlistDeleter {
  void operator()(curl_slist* list) const { ::curl_slist_free_all(list); }
};
using Slist = std::unique_ptr<curl_slist, SlistDeleter>;

void append(Slist& list, const std::string& text) {
  curl_slist* longer = ::curl_slist_append(list.get(), text.c_str());
  BAO_CHECK(longer != nullptr);
  (void)list.release();
  list.reset(longer);
}

bool is_literal_address(std::string_view host) {
  return host.find(':') != std::string_view::npos ||
         std::all_of(host.begin(), host.end(),
                     [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

std::string bracketed(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

std::optional<std::uint64_t> number_of(std::string_view digits) {
  std::uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto read = std::from_chars(digits.data(), end, value);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return value;
}

ErrorCode code_of(CURLcode result) {
  switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return ErrorCode::kDns;
    case CURLE_COULDNT_CONNECT:
      return ErrorCode::kConnect;
    case CURLE_OPERATION_TIMEDOUT:
      return ErrorCode::kTimeout;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
      return ErrorCode::kTls;
    case CURLE_PARTIAL_FILE:
      return ErrorCode::kTruncated;
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
      return ErrorCode::kReset;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_HTTP2:
      return ErrorCode::kProtocol;
    default:
      return ErrorCode::kInternal;
  }
}

std::optional<std::int64_t> certificate_end(CURL* easy) {
  curl_tlssessioninfo* session = nullptr;
  if (::curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &session) != CURLE_OK) return std::nullopt;
  if (session == nullptr || session->backend != CURLSSLBACKEND_OPENSSL ||
      session->internals == nullptr) {
    return std::nullopt;
  }
  const X509* certificate = ::SSL_get0_peer_certificate(static_cast<SSL*>(session->internals));
  std::tm broken{};
  if (certificate == nullptr ||
      ::ASN1_TIME_to_tm(::X509_get0_notAfter(certificate), &broken) != 1) {
    return std::nullopt;
  }
  return static_cast<std::int64_t>(::timegm(&broken));
}

// Of the connection that was made or used again; empty when none came about.
std::string connected_address(CURL* easy) {
  const char* address = nullptr;
  ::curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &address);
  return address == nullptr ? "" : address;
}

// " (Connection refused)": libcurl keeps the system's words for itself.
std::string system_words(CURL* easy) {
  long error = 0;
  ::curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &error);
  if (error == 0) return {};
  return " (" + std::generic_category().message(static_cast<int>(error)) + ")";
}

// One handle of its own for each node, with the request that is under way on it.
class Channel {
 public:
  Channel() : easy_(::curl_easy_init()) { BAO_CHECK(easy_ != nullptr); }
  ~Channel() {
    ::curl_easy_cleanup(easy_);
    forget_secret_body();
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  [[nodiscard]] CURL* easy() const { return easy_; }
  [[nodiscard]] bool busy() const { return on_done_ != nullptr; }
  [[nodiscard]] std::uint64_t id() const { return request_.channel; }  // while busy
  [[nodiscard]] bool ends_with_its_answer() const {
    return request_.secret_answer || request_.ends_channel;
  }
  [[nodiscard]] Transport::OnDone release() { return std::exchange(on_done_, nullptr); }

  void begin(Request request, Transport::OnDone on_done, TimePoint now) {
    request_ = std::move(request);
    on_done_ = std::move(on_done);
    answer_ = Answer{};
    too_large_ = false;
    forget_framing();
    if (request_.secret_answer) answer_.body.reserve(request_.body_bytes_max);  // it never moves
    configure(now);
  }

  Answer finish(CURLcode result) {
    long status = 0;
    ::curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    answer_.status = static_cast<int>(status);
    answer_.address = connected_address(easy_);
    if (too_large_) {
      fail(ErrorCode::kTooLarge,
           "more than the " + std::to_string(request_.body_bytes_max) + " bytes allowed for it");
    } else if (result != CURLE_OK) {
      fail_with(result);
    } else if (status == 200 && !is_whole()) {
      fail(ErrorCode::kTruncated, "without chunks, and Content-Length does not tell what came");
    }
    if (answer_.failure.has_value()) forget_secret_body();
    if (answer_.body.size() >= kLargeBody) expected_ = answer_.body.size();
    request_ = Request{};  // lets go of the token
    return std::move(answer_);
  }

 private:
  template <typename T>
  void set(CURLoption option, T value) {
    BAO_CHECK(::curl_easy_setopt(easy_, option, value) == CURLE_OK);
  }

  void configure(TimePoint now) {
    ::curl_easy_reset(easy_);
    set_address();
    set_trust();
    set_headers();
    set_body();
    const auto left = std::chrono::duration_cast<Milliseconds>(request_.deadline - now).count();
    set(CURLOPT_TIMEOUT_MS, std::max<long>(static_cast<long>(left), 1));
    set(CURLOPT_CONNECTTIMEOUT_MS, std::max<long>(static_cast<long>(left), 1));
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_QUICK_EXIT, 1L);
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_PROXY, "");
    set(CURLOPT_NOPROXY, "*");
    set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(CURLOPT_MAXLIFETIME_CONN, 300L);  // names are looked up again at least that often
    if (request_.secret_answer) {
      set(CURLOPT_FRESH_CONNECT, 1L);
      set(CURLOPT_FORBID_REUSE, 1L);
    }
    errors_[0] = '\0';
    set(CURLOPT_ERRORBUFFER, errors_.data());
    set(CURLOPT_WRITEFUNCTION, &Channel::on_body);
    set(CURLOPT_WRITEDATA, this);
    set(CURLOPT_HEADERFUNCTION, &Channel::on_header);
    set(CURLOPT_HEADERDATA, this);
    set(CURLOPT_PRIVATE, this);
  }

  // The URL names whom we verify; CONNECT_TO says where that is.
  void set_address() {
    const Url& url = request_.url;
    const std::string port = std::to_string(url.port);
    const std::string& name = request_.server_name.empty() ? url.host : request_.server_name;
    set(CURLOPT_PROTOCOLS_STR, url.scheme == "https" ? "https" : "http");
    set(CURLOPT_URL, (url.scheme + "://" + bracketed(name) + ":" + port + url.path).c_str());
    set(CURLOPT_PATH_AS_IS, 1L);
    connect_to_.reset();
    if (name != url.host) {
      append(connect_to_, bracketed(name) + ":" + port + ":" + bracketed(url.host) + ":" + port);
      set(CURLOPT_CONNECT_TO, connect_to_.get());
    }
  }

  void set_blob(CURLoption option, std::string_view pem) {
    if (pem.empty()) return;
    // The Request holds the text until the end, so no copy is made.
    curl_blob blob{const_cast<char*>(pem.data()), pem.size(), CURL_BLOB_NOCOPY};  // NOLINT
    set(option, &blob);
  }

  void set_trust() {
    set(CURLOPT_SSL_VERIFYPEER, 1L);
    set(CURLOPT_SSL_VERIFYHOST, 2L);
    set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (request_.trust == nullptr) return;
    const TlsTrust& trust = *request_.trust;
    if (!trust.system_authorities) {
      // libcurl's own defaults go, also where nobody is named: then nobody is trusted.
      set(CURLOPT_CAPATH, static_cast<char*>(nullptr));
      set(CURLOPT_CAINFO, static_cast<char*>(nullptr));
      set_blob(CURLOPT_CAINFO_BLOB, trust.authorities_pem);
    }
    set_blob(CURLOPT_SSLCERT_BLOB, trust.client_certificate_pem);
    if (trust.client_key_pem != nullptr) {
      set_blob(CURLOPT_SSLKEY_BLOB, trust.client_key_pem->reveal());
    }
  }

  void set_headers() {
    headers_.reset();
    append(headers_, "Accept: text/plain;version=0.0.4, application/json;q=0.9");
    append(headers_, "Accept-Encoding: identity");
    append(headers_, std::string("User-Agent: bao-exporter/") + std::string(kVersion));
    for (const std::string& header : request_.headers) append(headers_, header);
    if (!body_to_send().empty()) append(headers_, "Content-Type: application/json");
    curl_slist* list = headers_.get();
    if (request_.bearer != nullptr) {
      BAO_CHECK(request_.url.scheme == "https" || is_loopback(request_.url.host));
      // libcurl only reads the list: this entry points into the locked pages of the secret, so the
      // token is copied nowhere but into what is sent.
      bearer_.data = const_cast<char*>(request_.bearer->reveal_bearer_header());  // NOLINT
      bearer_.next = list;
      list = &bearer_;
    }
    set(CURLOPT_HTTPHEADER, list);
  }

  void set_body() {
    const std::string_view body = body_to_send();
    if (body.empty()) return;
    // The Request holds the text until the end, so no copy is made.
    set(CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
    set(CURLOPT_POSTFIELDS, body.data());
  }

  [[nodiscard]] std::string_view body_to_send() const {
    if (request_.secret_body != nullptr) return request_.secret_body->reveal();
    return request_.json_body;
  }

  // When nobody takes it.
  void forget_secret_body() {
    if (!request_.secret_answer) return;
    ::explicit_bzero(answer_.body.data(), answer_.body.size());
    answer_.body.clear();
  }

  void fail(ErrorCode code, std::string detail) {
    answer_.failure = Error{code, std::move(detail)};
  }

  void fail_with(CURLcode result) {
    ErrorCode code = code_of(result);
    std::string detail = errors_[0] != '\0' ? errors_.data() : ::curl_easy_strerror(result);
    if (code == ErrorCode::kConnect) detail += system_words(easy_);
    curl_off_t looked_up = 0;
    ::curl_easy_getinfo(easy_, CURLINFO_NAMELOOKUP_TIME_T, &looked_up);
    if (code == ErrorCode::kTimeout && looked_up == 0 && !is_literal_address(request_.url.host)) {
      code = ErrorCode::kDns;
      detail = "no answer to the look-up of " + request_.url.host + ": " + detail;
    }
    fail(code, std::move(detail));
  }

  // libcurl takes the end of the connection for the end of the body when it knows no better.
  [[nodiscard]] bool is_whole() const { return chunked_ || length_ == answer_.body.size(); }

  void forget_framing() {
    chunked_ = false;
    length_.reset();
  }

  void take_header(std::string_view line) {
    if (line.starts_with("HTTP/")) {
      forget_framing();  // what an interim answer (1xx) said is not about the body
      answer_.certificate_not_after = certificate_end(easy_);
      return;
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = ascii::trimmed(line.substr(colon + 1), " \t\r\n");
    if (ascii::equal_ignoring_case(name, "content-type")) answer_.content_type = value;
    if (ascii::equal_ignoring_case(name, "content-encoding")) answer_.content_encoding = value;
    if (ascii::equal_ignoring_case(name, "transfer-encoding"))
      chunked_ = ascii::equal_ignoring_case(value, "chunked");
    if (ascii::equal_ignoring_case(name, "content-length")) length_ = number_of(value);
    if (ascii::equal_ignoring_case(name, "retry-after")) {
      answer_.retry_after_seconds = number_of(value);
    }
  }

  // The next metrics are about as many bytes as the last: they are moved once, not at each
  // doubling.
  void take_body(std::string_view bytes) {
    const std::size_t room = expected_ + expected_ / 16;
    if (answer_.body.empty() && room <= request_.body_bytes_max) answer_.body.reserve(room);
    answer_.body.append(bytes);
  }

  static std::size_t on_header(char* data, std::size_t size, std::size_t count,
                               void* self) noexcept {
    static_cast<Channel*>(self)->take_header({data, size * count});
    return size * count;
  }

  static std::size_t on_body(char* data, std::size_t size, std::size_t count,
                             void* channel) noexcept {
    auto* self = static_cast<Channel*>(channel);
    const std::size_t bytes = size * count;
    self->too_large_ = self->answer_.body.size() + bytes > self->request_.body_bytes_max;
    if (!self->too_large_) self->take_body({data, bytes});
    if (self->request_.secret_answer) ::explicit_bzero(data, bytes);
    return self->too_large_ ? 0 : bytes;  // 0 ends the transfer
  }

  static constexpr std::size_t kLargeBody = std::size_t{64} << 10;  // larger than health and leader

  CURL* easy_;
  Request request_;
  Transport::OnDone on_done_;
  Answer answer_;
  bool chunked_ = false;
  std::optional<std::uint64_t> length_;
  bool too_large_ = false;
  std::size_t expected_ = 0;  // of a large body: what the last one had
  Slist headers_;
  Slist connect_to_;
  curl_slist bearer_{};
  std::array<char, CURL_ERROR_SIZE> errors_{};
};

class CurlTransport final : public Transport {
 public:
  CurlTransport() {
    wipe_what_libraries_free();  // libcurl's only initialisation
    multi_ = ::curl_multi_init();
    BAO_CHECK(multi_ != nullptr);
  }
  ~CurlTransport() override {
    for (auto& [id, channel] : channels_) {
      if (channel.busy()) ::curl_multi_remove_handle(multi_, channel.easy());
    }
    channels_.clear();
    ::curl_multi_cleanup(multi_);
  }
  CurlTransport(const CurlTransport&) = delete;
  CurlTransport& operator=(const CurlTransport&) = delete;

  void start(Request request, OnDone on_done) override {
    Channel& channel = channels_[request.channel];
    BAO_CHECK(!channel.busy());
    channel.begin(std::move(request), std::move(on_done), Clock::now());
    BAO_CHECK(::curl_multi_add_handle(multi_, channel.easy()) == CURLM_OK);
  }

  void cancel(std::uint64_t id) override {
    const auto at = channels_.find(id);
    if (at == channels_.end() || !at->second.busy()) return;
    (void)at->second.release();
    (void)end(at->second, CURLE_ABORTED_BY_CALLBACK);
  }

  void run_once(TimePoint until) override {
    int running = 0;
    ::curl_multi_perform(multi_, &running);
    if (deliver()) return;
    const auto left = std::chrono::ceil<Milliseconds>(until - Clock::now()).count();
    ::curl_multi_poll(multi_, nullptr, 0,
                      static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000)), nullptr);
    ::curl_multi_perform(multi_, &running);
    (void)deliver();
  }

  void wake_up() override { ::curl_multi_wakeup(multi_); }

 private:
  // Hands over what has ended. True when something had.
  bool deliver() {
    bool any = false;
    int left = 0;
    while (CURLMsg* message = ::curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      any = true;
      const CURLcode result = message->data.result;
      Channel* channel = nullptr;
      ::curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &channel);
      const OnDone on_done = channel->release();
      Answer answer = end(*channel, result);  // message and channel are invalid from here on
      on_done(std::move(answer));             // which may start the next one on that channel
    }
    return any;
  }

  // The channel may be gone afterwards, with its handle.
  Answer end(Channel& channel, CURLcode result) {
    ::curl_multi_remove_handle(multi_, channel.easy());
    const bool last = channel.ends_with_its_answer();
    const std::uint64_t id = channel.id();
    Answer answer = channel.finish(result);
    if (last) channels_.erase(id);
    return answer;
  }

  CURLM* multi_ = nullptr;
  std::map<std::uint64_t, Channel> channels_;
};

}  // namespace

std::unique_ptr<Transport> make_curl_transport() { return std::make_unique<CurlTransport>(); }

}  // namespace bao_exporter

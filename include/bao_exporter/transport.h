// The one seam to the network upstream: a request goes out, an Answer comes back.
//
// Threads: one transport belongs to one thread; on_done is called on it, from run_once(). Every
// started request ends in exactly one on_done, unless it is cancelled before.
// Rules that every implementation keeps (design, rules 1, 4, 5, 10): no redirect is followed, no
// proxy, netrc or cookie is used; one absolute deadline covers name look-up, connection, TLS,
// headers and body; decoded bytes are counted as they arrive; the certificate is verified against
// the given authorities only and the token goes nowhere else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bao_exporter/answer.h"
#include "bao_exporter/config.h"
#include "bao_exporter/secret.h"
#include "bao_exporter/time.h"

namespace bao_exporter {

// Whom to trust and who we are, as read from files beforehand: the transport reads none.
struct TlsTrust {
  bool system_authorities = false;
  std::string authorities_pem;
  std::string client_certificate_pem;
  std::shared_ptr<const Secret> client_key_pem;  // null: no client certificate is shown
};

struct Request {
  std::uint64_t channel = 0;  // requests of one channel share a handle; one at a time in each
  bool ends_channel = false;  // the handle ends with it; the connection stays for others
  Url url;                    // path with query
  std::string server_name;    // name to verify instead of url.host; empty: url.host
  std::shared_ptr<const TlsTrust> trust;
  std::shared_ptr<const Secret> bearer;       // null: no Authorization is sent
  std::vector<std::string> headers;           // "Name: value", nothing secret
  std::string json_body;                      // not empty: a POST of it; nothing secret
  std::shared_ptr<const Secret> secret_body;  // not null: a POST of this JSON instead
  // A token is in the answer: its body is not copied while it comes (body_bytes_max is reserved for
  // it), the connection and the handle end with it, and no failure has a body. Who takes the Answer
  // wipes it.
  bool secret_answer = false;
  TimePoint deadline;
  std::size_t body_bytes_max = 0;
};

class Transport {
 public:
  using OnDone = std::function<void(Answer)>;

  virtual ~Transport() = default;
  virtual void start(Request request, OnDone on_done) = 0;
  // Ends the request of that channel, if there is one, without calling its on_done.
  virtual void cancel(std::uint64_t channel) = 0;
  // Waits for the network, for wake_up() or until `until`, then calls what is done.
  virtual void run_once(TimePoint until) = 0;
  // From any thread: ends a waiting run_once.
  virtual void wake_up() = 0;
};

}  // namespace bao_exporter

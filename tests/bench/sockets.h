// What the attack and the honest scraper have in common: sockets of a chosen source address, TLS as
// a client, descriptors, time.
#pragma once

#include <netinet/in.h>
#include <openssl/ssl.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace bench {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using Milliseconds = std::chrono::milliseconds;

// As many descriptors as the hard limit gives.
void raise_descriptor_limit();

// "127.0.0.1:9825". Ends the program with a word on stderr when it is not of that form.
[[nodiscard]] sockaddr_in parse_address(const std::string& text);

// A non-blocking socket from that address; its port is chosen when it connects, so that a source
// has as many ports as there are pairs. -1 when the kernel gives none.
[[nodiscard]] int open_from(in_addr source);

// Ends without leaving a pair behind in TIME_WAIT: an attack would run out of ports.
void close_at_once(int fd);

struct FreeContext {
  void operator()(SSL_CTX* context) const noexcept { ::SSL_CTX_free(context); }
};
struct FreeSsl {
  void operator()(SSL* ssl) const noexcept { ::SSL_free(ssl); }
};
using Context = std::unique_ptr<SSL_CTX, FreeContext>;
using Ssl = std::unique_ptr<SSL, FreeSsl>;

// Verifies nothing when `ca_file` is empty.
[[nodiscard]] Context client_context(const std::string& ca_file);

// Ends the program with these words on stderr.
[[noreturn]] void give_up(const std::string& words);

}  // namespace bench

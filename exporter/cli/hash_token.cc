// `bao-exporter hash-token`: a line for a token file from a token that nobody has to type into a
// command line. Reads and writes its descriptors itself: no buffer of a library keeps the token.
#include <openssl/crypto.h>
#include <sys/random.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <iostream>
#include <optional>
#include <string_view>

#include "bao_exporter/scrape_tokens.h"
#include "bao_exporter/secret.h"
#include "cli/commands.h"

namespace bao_exporter::cli {

namespace {

constexpr std::size_t kRandomBytes = 32;
constexpr std::string_view kBase64Url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// Bytes on the stack that do not outlive their use.
template <std::size_t kSize>
struct Wiped {
  std::array<char, kSize> bytes{};
  Wiped() = default;
  ~Wiped() { ::OPENSSL_cleanse(bytes.data(), bytes.size()); }
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;
};

// No echo while a token is typed; as it was before at the end.
class QuietTerminal {
 public:
  QuietTerminal() {
    if (::isatty(STDIN_FILENO) == 0 || ::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios quiet = before_;
    // Not interrupted either: whoever does that has a terminal without echo.
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO | ISIG);
    is_terminal_ = true;
    is_quiet_ = ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) == 0;
  }
  ~QuietTerminal() {
    if (!is_quiet_) return;
    (void)::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
    std::cerr << '\n';
  }
  QuietTerminal(const QuietTerminal&) = delete;
  QuietTerminal& operator=(const QuietTerminal&) = delete;

  [[nodiscard]] bool is_terminal() const { return is_terminal_; }
  [[nodiscard]] bool is_quiet() const { return is_quiet_; }

 private:
  termios before_{};
  bool is_terminal_ = false;
  bool is_quiet_ = false;
};

int usage(std::string_view words) {
  std::cerr << "hash-token: " << words << '\n';
  return kUsage;
}

// Until the end, or one line of a terminal; nullopt: it cannot be read, or is too long.
template <std::size_t kSize>
std::optional<std::string_view> read_input(Wiped<kSize>& to, bool one_line) {
  std::size_t size = 0;
  while (size < to.bytes.size()) {
    const ssize_t got = ::read(STDIN_FILENO, to.bytes.data() + size, to.bytes.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    size += static_cast<std::size_t>(got);
    const bool whole = one_line && size > 0 && to.bytes.at(size - 1) == '\n';
    if (got == 0 || whole) return std::string_view(to.bytes.data(), size);
  }
  return std::nullopt;
}

bool write_out(std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(STDOUT_FILENO, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return true;
}

std::string line_of(const std::string& name, std::string_view token) {
  return (name.empty() ? "" : name + ":") + ScrapeTokens::hashed(token) + "\n";
}

int print_line(const std::string& name, std::string_view token) {
  if (write_out(line_of(name, token))) return kGood;
  std::cerr << "hash-token: standard output cannot be written\n";
  return kFailed;
}

// Without padding; its bytes are wiped with `to`.
template <std::size_t kSize>
std::string_view base64url(std::string_view raw, Wiped<kSize>& to) {
  static_assert(kSize >= (kRandomBytes * 8 + 5) / 6);
  std::size_t size = 0;
  unsigned buffer = 0;
  unsigned bits = 0;
  const auto put = [&](unsigned index) { to.bytes.at(size++) = kBase64Url[index & 63U]; };
  for (const char byte : raw) {
    buffer = ((buffer << 8U) | static_cast<unsigned char>(byte)) & 0xffffU;
    for (bits += 8; bits >= 6; bits -= 6) put(buffer >> (bits - 6));
  }
  if (bits > 0) put(buffer << (6 - bits));
  return {to.bytes.data(), size};
}

int generate(const std::string& name) {
  Wiped<kRandomBytes> random;
  if (::getrandom(random.bytes.data(), random.bytes.size(), 0) !=
      static_cast<ssize_t>(random.bytes.size())) {
    std::cerr << "hash-token: the kernel gave no random bytes\n";
    return kFailed;
  }
  Wiped<64> text;
  const std::string_view token = base64url({random.bytes.data(), random.bytes.size()}, text);
  std::cerr << "first line: the token, for who scrapes (a credentials_file of Prometheus)\n"
               "second line: its hash, for one of the exporter's listener.token_files\n";
  if (write_out(token) && write_out("\n")) return print_line(name, token);
  std::cerr << "hash-token: standard output cannot be written\n";
  return kFailed;
}

int hash_input(const std::string& name) {
  Wiped<Secret::kBytesMax> input;
  std::optional<std::string_view> text;
  {
    const QuietTerminal terminal;
    if (terminal.is_terminal()) {
      if (!terminal.is_quiet()) return usage("this terminal would show the token; use a pipe");
      std::cerr << "Token: ";
    }
    text = read_input(input, terminal.is_terminal());
  }
  if (!text) return usage("standard input cannot be read, or is longer than any token");
  if (text->ends_with('\n')) text->remove_suffix(1);
  if (text->empty()) return usage("there is no token on standard input");
  if (text->find('\n') != std::string_view::npos) {
    return usage("standard input has more than one line; give one token at a time");
  }
  if (const auto problem = ScrapeTokens::token_problem(*text)) return usage(*problem);
  return print_line(name, *text);
}

}  // namespace

int hash_token(const std::string& name, bool make_one) {
  harden_process();
  if (!name.empty()) {
    if (const auto problem = ScrapeTokens::name_problem(name)) return usage(*problem);
  }
  return make_one ? generate(name) : hash_input(name);
}

}  // namespace bao_exporter::cli

#include "config_url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>

namespace bao_exporter {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool is_address(int family, std::string_view text) {
  unsigned char bytes[sizeof(in6_addr)];
  return ::inet_pton(family, std::string(text).c_str(), bytes) == 1;
}

bool is_label(std::string_view text) {
  constexpr std::size_t kLabelBytesMax = 63;
  if (text.empty() || text.size() > kLabelBytesMax) return false;
  if (text.front() == '-' || text.back() == '-') return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '_'; });
}

// What resolvers would take for a number, as in 10.1 or 0x7f000001.
bool is_numeric_label(std::string_view text) {
  if (text.size() > 1 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) return true;
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

bool is_host_name(std::string_view text) {
  constexpr std::size_t kHostBytesMax = 253;
  if (text.size() > kHostBytesMax) return false;
  std::string_view last;
  while (true) {
    const std::size_t dot = text.find('.');
    last = text.substr(0, dot);
    if (!is_label(last)) return false;
    if (dot == std::string_view::npos) break;
    text.remove_prefix(dot + 1);
  }
  return !is_numeric_label(last);
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  constexpr unsigned kPortMax = 65'535;
  constexpr std::size_t kDigitsMax = 5;
  if (text.empty() || text.size() > kDigitsMax) return std::nullopt;
  if (!std::all_of(text.begin(), text.end(), is_digit)) return std::nullopt;
  unsigned port = 0;
  std::from_chars(text.data(), text.data() + text.size(), port);
  if (port > kPortMax) return std::nullopt;
  return static_cast<std::uint16_t>(port);
}

struct HostAndPort {
  std::string_view host;
  std::optional<std::string_view> port;
  bool in_brackets = false;
};

// "host", "host:port", "[v6]", "[v6]:port"; nullopt when it is none of them.
std::optional<HostAndPort> split_authority(std::string_view text) {
  HostAndPort parts;
  std::string_view after;
  if (!text.empty() && text.front() == '[') {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    parts.host = text.substr(1, end - 1);
    parts.in_brackets = true;
    after = text.substr(end + 1);
    if (!is_address(AF_INET6, parts.host)) return std::nullopt;
  } else {
    const std::size_t colon = std::min(text.find(':'), text.size());
    parts.host = text.substr(0, colon);
    after = text.substr(colon);
    if (!is_host_name(parts.host) && !is_address(AF_INET, parts.host)) return std::nullopt;
  }
  if (after.empty()) return parts;
  if (after.front() != ':') return std::nullopt;
  parts.port = after.substr(1);
  return parts;
}

// The characters of RFC 3986 for a path.
bool is_path(std::string_view text) {
  constexpr std::string_view kAlsoAllowed = "/-._~!$&'()*+,;=:@%";
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return is_letter(c) || is_digit(c) || kAlsoAllowed.find(c) != std::string_view::npos;
  });
}

}  // namespace

std::string url_problem(std::string_view text, Url& out) {
  const std::size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos) {
    return "is not a whole URL; write it like \"https://10.0.0.10:8200\"";
  }
  const std::string scheme = lower(text.substr(0, scheme_end));
  if (scheme != "https" && scheme != "http") return "must start with https://";
  const std::string_view rest = text.substr(scheme_end + 3);
  if (rest.find('?') != std::string_view::npos) return "must have no query; remove the part from ?";
  if (rest.find('#') != std::string_view::npos) {
    return "must have no fragment; remove the part from #";
  }
  const std::string_view authority = rest.substr(0, rest.find('/'));
  if (authority.find('@') != std::string_view::npos) {
    return "must have no user or password in it; remove the part before @";
  }
  const auto parts = split_authority(authority);
  if (!parts) {
    return "has no valid host; it must be a DNS name, an IPv4 address or an IPv6 address in [ ]";
  }
  const std::uint16_t default_port = scheme == "https" ? 443 : 80;
  const auto port = parts->port ? parse_port(*parts->port) : default_port;
  if (!port || *port == 0) return "has no valid port; it must be a number from 1 to 65535";
  const std::string_view path = rest.substr(authority.size());
  if (!is_path(path)) return "has a character in its path that must be written as %XX";
  out = Url{scheme, lower(parts->host), *port, std::string(path)};
  return {};
}

bool parse_url(std::string_view text, Url& out) { return url_problem(text, out).empty(); }

std::string Url::authority() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string listen_address_problem(std::string_view text, ListenAddress& out) {
  constexpr std::string_view kForm =
      "must be host:port or [IPv6]:port, like \"127.0.0.1:9825\" or \"[::]:9825\"";
  const auto parts = split_authority(text);
  if (!parts || !parts->port) return std::string(kForm);
  const auto port = parse_port(*parts->port);
  if (!port) return "has no valid port; it must be a number from 0 to 65535";
  out = ListenAddress{lower(parts->host), *port};
  return {};
}

bool parse_listen_address(std::string_view text, ListenAddress& out) {
  return listen_address_problem(text, out).empty();
}

bool is_loopback(std::string_view host) {
  return (host.starts_with("127.") && is_address(AF_INET, host)) || host == "::1";
}

bool is_wildcard_host(std::string_view host) {
  const std::string text(host);
  in_addr v4{};
  if (::inet_pton(AF_INET, text.c_str(), &v4) == 1) return v4.s_addr == htonl(INADDR_ANY);
  in6_addr v6{};
  if (::inet_pton(AF_INET6, text.c_str(), &v6) != 1) return false;
  const std::size_t from = IN6_IS_ADDR_V4MAPPED(&v6) ? 12 : 0;
  return std::all_of(std::cbegin(v6.s6_addr) + from, std::cend(v6.s6_addr),
                     [](unsigned char byte) { return byte == 0; });
}

bool is_host(std::string_view text) {
  return is_host_name(text) || is_address(AF_INET, text) || is_address(AF_INET6, text);
}

}  // namespace bao_exporter

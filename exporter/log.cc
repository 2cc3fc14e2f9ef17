#include "bao_exporter/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <atomic>
#include <cstdio>

#include "exposition/text_rules.h"

namespace bao_exporter::log {

namespace {

std::atomic<LogFormat> g_format{LogFormat::kLogfmt};
std::atomic<bool> g_pattern_set{false};

// What may not reach a terminal or a JSON reader as it is: control characters, those of C1 (U+0080
// to U+009F) included, and bytes that are not UTF-8. `length` gets how many bytes it is.
bool is_unsafe(std::string_view text, std::size_t at, std::size_t& length) {
  const auto byte = static_cast<unsigned char>(text[at]);
  length = 1;
  if (byte < 0x80) return byte < 0x20 || byte == 0x7f;
  const std::size_t sequence = text_rules::utf8_sequence(text, at);
  if (sequence == 0) return true;
  length = sequence;
  return sequence == 2 && byte == 0xC2 && static_cast<unsigned char>(text[at + 1]) < 0xA0;
}

void append_code_point(std::string& out, std::string_view text, std::size_t at,
                       std::size_t length) {
  const auto byte = static_cast<unsigned char>(text[at]);
  unsigned code = byte < 0x80 ? byte : 0xFFFD;  // the replacement character: not UTF-8
  if (length == 2) code = static_cast<unsigned char>(text[at + 1]);
  std::array<char, 8> escape{};
  std::snprintf(escape.data(), escape.size(), "\\u%04x", code);
  out += escape.data();
}

// A JSON string; logfmt takes the same quoting.
void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  std::size_t length = 1;
  for (std::size_t at = 0; at < text.size(); at += length) {
    const char c = text[at];
    if (is_unsafe(text, at, length)) {
      append_code_point(out, text, at, length);
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else {
      out += text.substr(at, length);
    }
  }
  out += '"';
}

void append_logfmt_value(std::string& out, std::string_view text) {
  bool plain = !text.empty() && text.find_first_of(" \"=\\") == std::string_view::npos;
  std::size_t length = 1;
  for (std::size_t at = 0; at < text.size(); at += length) {
    if (is_unsafe(text, at, length)) plain = false;
  }
  if (plain) {
    out += text;
  } else {
    append_quoted(out, text);
  }
}

void write(spdlog::level::level_enum level, std::string_view name, std::string_view message,
           Fields fields) {
  if (!spdlog::default_logger_raw()->should_log(level)) return;
  spdlog::default_logger_raw()->log(level, render(g_format.load(), name, message, fields));
}

}  // namespace

std::string render(LogFormat format, std::string_view level, std::string_view message,
                   Fields fields) {
  std::string out;
  if (format == LogFormat::kLogfmt) {
    out += "level=";
    out += level;
    out += " msg=";
    append_quoted(out, message);
    for (const Field& field : fields) {
      out += ' ';
      out += field.key;
      out += '=';
      append_logfmt_value(out, field.value);
    }
    return out;
  }
  out += "\"level\":";
  append_quoted(out, level);
  out += ",\"msg\":";
  append_quoted(out, message);
  for (const Field& field : fields) {
    out += ',';
    append_quoted(out, field.key);
    out += ':';
    append_quoted(out, field.value);
  }
  return out;
}

void init(LogLevel level, LogFormat format) {
  // One logger for good: others may be writing to it. Its level is atomic, its pattern is locked.
  static const bool made = [] {
    auto logger = std::make_shared<spdlog::logger>(
        "bao-exporter", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->flush_on(spdlog::level::debug);
    spdlog::set_default_logger(std::move(logger));
    return true;
  }();
  (void)made;
  constexpr std::array kLevels = {spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                  spdlog::level::err};
  spdlog::logger& logger = *spdlog::default_logger_raw();
  logger.set_level(kLevels[static_cast<std::size_t>(level)]);
  if (g_format.exchange(format) == format && g_pattern_set.exchange(true)) return;
  logger.set_pattern(format == LogFormat::kLogfmt ? "ts=%Y-%m-%dT%H:%M:%S.%eZ %v"
                                                  : "{\"ts\":\"%Y-%m-%dT%H:%M:%S.%eZ\",%v}",
                     spdlog::pattern_time_type::utc);
  g_pattern_set.store(true);
}

void debug(std::string_view message, Fields fields) {
  write(spdlog::level::debug, "debug", message, fields);
}
void info(std::string_view message, Fields fields) {
  write(spdlog::level::info, "info", message, fields);
}
void warn(std::string_view message, Fields fields) {
  write(spdlog::level::warn, "warn", message, fields);
}
void error(std::string_view message, Fields fields) {
  write(spdlog::level::err, "error", message, fields);
}

}  // namespace bao_exporter::log

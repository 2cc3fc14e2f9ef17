// Logs to stderr: one line an event, logfmt or JSON. Text from outside (a node's words, a path)
// goes into fields only, where control characters are escaped, so one event is always one line.
// Never pass a secret or a body. Threads: any, after init().
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "bao_exporter/config.h"

namespace bao_exporter::log {

struct Field {
  std::string_view key;
  std::string value;
};
using Fields = std::initializer_list<Field>;

void init(LogLevel level, LogFormat format);

void debug(std::string_view message, Fields fields = {});
void info(std::string_view message, Fields fields = {});
void warn(std::string_view message, Fields fields = {});
void error(std::string_view message, Fields fields = {});

// One event as it is written, without time. Pure; for tests.
[[nodiscard]] std::string render(LogFormat format, std::string_view level, std::string_view message,
                                 Fields fields);

}  // namespace bao_exporter::log

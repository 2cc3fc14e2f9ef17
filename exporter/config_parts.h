// What several tables of the configuration have in common.
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>

#include "config_reader.h"

namespace bao_exporter {

// What must be there once in a file only, and the line where it was first seen.
using FirstSeen = std::map<std::string, int>;

inline constexpr std::string_view kSystemStore = "system";
inline constexpr std::array<Word<bool>, 2> kOnExcess = {{{"warn", false}, {"refuse", true}}};

// `text` says what is wrong; the line of the first is added.
void refuse_duplicate(TableReader& table, std::string_view key, const std::string& value,
                      FirstSeen& seen, const std::string& text);

// The name of a `what`, required.
void read_name(TableReader& table, std::string_view key, std::string& to, FirstSeen& seen,
               const std::string& what);

void read_server_name(TableReader& table, std::string& to);

// A problem when it is empty; else the file that it names, if it does.
void check_ca_file(TableReader& table, const std::string& ca_file, bool allow_group_read);

}  // namespace bao_exporter

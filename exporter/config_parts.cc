#include "config_parts.h"

#include "config_url.h"
#include "config_values.h"

namespace bao_exporter {

namespace {

constexpr std::string_view kNameForm =
    "must be 1 to 63 letters, digits and . _ - and start with a letter or digit";

}  // namespace

void refuse_duplicate(TableReader& table, std::string_view key, const std::string& value,
                      FirstSeen& seen, const std::string& text) {
  if (value.empty() || !table.sound(key)) return;
  const auto [at, is_new] = seen.emplace(value, table.line(key));
  if (!is_new) table.complain(key, text + " (line " + std::to_string(at->second) + ")");
}

void read_name(TableReader& table, std::string_view key, std::string& to, FirstSeen& seen,
               const std::string& what) {
  table.text(key, to);
  table.require(key, "give the " + what + " a name");
  if (!table.sound(key)) return;
  if (!is_name(to)) return table.complain(key, std::string(kNameForm));
  refuse_duplicate(table, key, to, seen,
                   "the name '" + to + "' is taken by an earlier " + what + "; give another one");
}

void read_server_name(TableReader& table, std::string& to) {
  table.text("server_name", to);
  if (table.sound("server_name") && !to.empty() && !is_host(to)) {
    table.complain("server_name", "must be a DNS name or an IP address, as the certificate has it");
  }
}

void check_ca_file(TableReader& table, const std::string& ca_file, bool allow_group_read) {
  if (table.sound("ca_file") && ca_file.empty()) {
    table.complain("ca_file", "must not be empty; name a file, or \"system\"");
  }
  if (ca_file == kSystemStore) return;
  table.names_file("ca_file", ca_file, NamedFile::Kind::kCertificate, allow_group_read);
}

}  // namespace bao_exporter

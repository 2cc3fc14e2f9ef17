// Bodies as a node sends them, poll after poll, and what can become of one.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/node_part.h"

namespace bao_exporter {

class PollBodies {
 public:
  explicit PollBodies(std::uint64_t seed) : engine_(seed) {}

  std::size_t below(std::size_t n) { return static_cast<std::size_t>(engine_() % n); }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <typename T>
  const T& one_of(const std::vector<T>& from) {
    return from[below(from.size())];
  }

  // Families of all types, most of them with many series that resemble each other; now and then
  // with what the fast way does not know.
  std::string body() {
    odd_ = one_in(3);
    std::string text = one_in(4) ? "# a comment\n\n" : "";
    const std::size_t families = 1 + below(8);
    for (std::size_t i = 0; i < families; ++i) text += family(i);
    return text;
  }

  // What the next poll sends: mostly other values, fewer or more lines; `harm`: anything.
  std::string next(const std::string& text, bool harm) {
    std::vector<std::string> lines = lines_of(text);
    std::vector<std::string> out;
    const std::size_t kind = below(6);
    for (std::string& line : lines) {
      const bool sample = !line.empty() && line[0] != '#';
      if (sample && kind != 0 && !one_in(3)) change_value(line);
      if (sample && kind == 2 && one_in(12)) continue;
      out.push_back(line);
      if (sample && kind == 3 && one_in(12)) out.push_back(relative_of(line));
      if (kind == 4 && one_in(20)) out.emplace_back("# another comment");
      if (sample && kind == 5 && one_in(30)) out.resize(out.size() - below(out.size()) / 2);
    }
    if (harm) harm_lines(out);
    std::string joined;
    for (const std::string& line : out) joined += line + "\n";
    if (harm && one_in(3)) harm_bytes(joined);
    return joined;
  }

 private:
  static std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    for (std::size_t from = 0; from < text.size();) {
      const std::size_t to = std::min(text.find('\n', from), text.size());
      lines.push_back(text.substr(from, to - from));
      from = to + 1;
    }
    return lines;
  }

  std::string value() {
    static const std::vector<std::string> kOdd = {
        "+Inf", "-Inf", "inf",   "nan", "-0",     ".5",    "1.",
        "1e3",  "1e-5", "1E+10", "+7",  "-1.5e2", "1e300", "0.00000000000000000000000000000001"};
    switch (below(odd_ ? 6 : 5)) {
      case 0:
        return "NaN";
      case 1:
        return std::to_string(below(1'000'000'000));
      case 2:
        return "0." + std::to_string(1 + engine_());
      case 3:
        return std::to_string(below(10)) + "." + std::to_string(below(100'000)) + "e+" +
               std::to_string(10 + below(80));
      case 4:
        return one_in(2) ? "0" : "-" + std::to_string(below(100));
      default:
        return one_of(kOdd);
    }
  }

  void change_value(std::string& line) {
    const std::size_t blank = line.rfind(' ');
    if (blank != std::string::npos) line = line.substr(0, blank + 1) + value();
  }

  // A line with another label value.
  std::string relative_of(std::string line) {
    const std::size_t quote = line.find('"');
    if (quote != std::string::npos && !one_in(8)) line.insert(quote + 1, 1 + below(2), 'n');
    return line;
  }

  std::string labels(std::size_t series, bool cluster) {
    static const std::vector<std::string> kMounts = {"auth/token/", "sys/", "secret/", "pki_int/",
                                                     "kv-team-of-a-long-name-that-goes-on/"};
    static const std::vector<std::string> kOddLabels = {"job=\"x\"",
                                                        "exported_job=\"x\"",
                                                        "empty=\"\"",
                                                        "__a=\"1\"",
                                                        "utf=\"\xC3\xA9\"",
                                                        "openbao_namespace=\"own\"",
                                                        "cluster=\"another\"",
                                                        "\"l.x\"=\"1\"",
                                                        "\"node-name\"=\"2\",l_x=\"3\"",
                                                        "\"cluster\"=\"quoted\""};
    std::string out;
    if (cluster) out += "cluster=\"vault-cluster-7f3a9c21\",";
    out += "mount_point=\"" + kMounts[series % kMounts.size()] + std::to_string(series) + "\",";
    if (series % 3 != 0) out += "namespace=\"ns" + std::to_string(series % 4) + "\",";
    if (series % 5 == 4) out += "path=\"v1/\\\"q\\\"/a\\\\b\\n" + std::to_string(series) + "\",";
    if (odd_ && one_in(15)) out += one_of(kOddLabels) + ",";
    if (odd_ && one_in(40)) out += std::string(1 + below(40), 'l') + "=\"long\",";
    return out;
  }

  static bool needs_quotes(const std::string& name) { return name.find('.') != std::string::npos; }

  std::string line(const std::string& name, const std::string& labels) {
    const bool quoted = needs_quotes(name) || (odd_ && one_in(60));
    std::string out = quoted ? "" : name;
    const std::string all = (quoted ? "\"" + name + "\"," : "") + labels;
    if (!all.empty()) out += "{" + all.substr(0, all.size() - 1) + "}";
    out += " " + value();
    if (odd_ && one_in(40)) out += " 1700000000000";
    if (odd_ && one_in(60)) out.insert(0, " ");
    if (odd_ && one_in(60)) out += " ";
    return out + "\n";
  }

  std::string family(std::size_t number) {
    static const std::vector<std::string> kTypes = {"summary", "summary",   "gauge",
                                                    "counter", "histogram", ""};
    static const std::vector<std::string> kNames = {"vault_core_unsealed", "bao_node_up",
                                                    "vault_raft_peers", "certctl_state_x"};
    std::string type = one_of(kTypes);
    std::string name = "vault_f" + std::to_string(number) + (one_in(2) ? "_core" : "");
    if (one_in(8)) name = one_of(kNames) + std::to_string(number);
    if (odd_ && one_in(8)) name = "vault_f" + std::to_string(number / 2) + "_sum";
    if (number == 0 && one_in(4)) name = "vault_core_unsealed";
    if (one_in(10)) name += std::string(below(70), 'x');
    if (odd_ && one_in(8)) name[5] = '.';
    const std::string said = needs_quotes(name) ? "\"" + name + "\"" : name;
    std::string text;
    if (!type.empty() && !one_in(5)) text += "# HELP " + said + " About " + name + ".\n";
    if (!type.empty()) text += "# TYPE " + said + " " + type + "\n";
    const bool cluster = one_in(2);
    const std::size_t series = one_in(3) ? 1 : below(12);
    for (std::size_t i = 0; i < series; ++i) {
      const std::string all = series == 1 && one_in(2) ? "" : labels(i, cluster);
      if (type == "summary") {
        for (const char* q : {"0.5", "0.9", "0.99"}) {
          text += line(name, all + "quantile=\"" + q + "\",");
        }
      }
      if (type == "histogram") {
        for (const char* le : {"0.005", "0.5", "+Inf"}) {
          text += line(name + "_bucket", all + "le=\"" + le + "\",");
        }
      }
      if (type == "summary" || type == "histogram") {
        text += line(name + "_sum", all) + line(name + "_count", all);
      } else {
        text += line(name, all);
      }
    }
    return text;
  }

  void harm_lines(std::vector<std::string>& lines) {
    if (lines.empty()) return;
    const std::size_t a = below(lines.size()), b = below(lines.size());
    switch (below(6)) {
      case 0:
        lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(b), std::string(lines[a]));
        break;
      case 1:
        std::swap(lines[a], lines[b]);
        break;
      case 2:
        lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(a));
        break;
      case 3:
        lines[a] += one_of<std::string>({" ", " 1", "x", "\t", " 17 18"});
        break;
      case 4:
        lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(a),
                     one_of<std::string>({"# TYPE vault_f1 gauge", "# HELP vault_f2 Other.",
                                          "vault_f1_sum 1", "new 1", "vault_f0{a=\"b\"} 2", "#"}));
        break;
      default:
        if (!lines[a].empty()) lines[a].erase(below(lines[a].size()), 1);
        break;
    }
  }

  void harm_bytes(std::string& text) {
    if (text.empty()) return;
    const std::size_t at = below(text.size());
    static const std::vector<std::string> kPieces = {"\r", "\"", "\\", "{",    "}", ",",       "=",
                                                     " ",  "\n", "a",  "\xC3", ":", "\xC3\xA9"};
    if (one_in(3)) {
      text[at] = static_cast<char>(below(256));
    } else if (one_in(2)) {
      text.insert(at, one_of(kPieces));
    } else {
      text.erase(at, 1 + below(30));
    }
  }

  std::mt19937_64 engine_;
  bool odd_ = false;
};

// All that a part shows, or the error in its place.
inline std::string shown_of(const Result<std::shared_ptr<const NodePart>>& built) {
  if (!built.ok()) {
    return std::string(reason_name(built.error().code)) + ": " + built.error().detail;
  }
  const NodePart& part = *built.value();
  std::string out = std::to_string(part.samples()) + " of " + std::to_string(part.body_bytes());
  for (const std::uint64_t count : part.dropped()) out += " " + std::to_string(count);
  out += " " + std::to_string(part.relabel_refused());
  for (const FamilyPart& family : part.families()) {
    out += "\n[" + std::string(family.name) + " " + std::string(metric_type_name(family.type)) +
           (family.has_help ? " <" + std::string(family.help) + ">" : "") + " " +
           std::to_string(family.samples) + "]\n" + std::string(family.lines);
  }
  out += "\nown text:\n";
  for (const std::string_view slice : part.own_text()) out += std::string(slice) + "|";
  const Exposition sent = part.excerpt([](const Family&) { return true; });
  for (const Family& family : sent.families) {
    out += "\n(" + std::string(family.name) + std::to_string(family.sample_count) +
           (family.has_type ? "T" : "") + ")";
    for (const Sample& sample : sent.samples_of(family)) {
      out += " " + std::string(sample.name) + std::to_string(sample.label_count) +
             std::string(sample.value) + "@" + std::string(sample.timestamp);
    }
  }
  return out;
}

}  // namespace bao_exporter

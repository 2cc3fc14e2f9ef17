#include "reference/bodies.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace reference {

namespace {

using std::string_view;

constexpr string_view kNames[] = {
    "a", "b",       "a_sum", "a_count", "a_bucket",  "b_sum",        "x:y",   "vault_get",
    "_", "a_total", "A9",    "b_count", "a_created", "a_bucket_sum", "h_info"};
constexpr string_view kQuotedNames[] = {"a.b", "a", "b\\\"c", "d\\\\", "e\\nf", "é", "a.b_sum",
                                        "a b", "{", "b",      "a}",    "le",    "x,"};
constexpr string_view kLabels[] = {"l",   "m",  "cluster", "job",      "instance", "node_name",
                                   "_x9", "le", "zone",    "quantile", "__name__", "exported_job"};
// Only quotes allow these; without them some are names of others.
constexpr string_view kOddNames[] = {"a.b", "a b",     "a.sum", "a\\\\sum", "a.b_sum",   "b count",
                                     "9",   "a.b.sum", "x\\ny", "é",        "vault.get", "_."};
constexpr string_view kOddLabels[] = {"l.x", "l x",  "l_x",      "node.name", "node-name", "job",
                                      "9",   "\\\"", "_.role__", "l:x",       "é",         "le.x"};
constexpr string_view kTexts[] = {
    "",  "0.5", "+Inf", "a\\\"b",           "\\\\", "\\n", "é",   "{x=\\\"", "1",    "},",
    " ", "#",   "1.0",  "\xF0\x9F\x8D\xBA", "sys/", "lab", "lab", "0.99",    "\\\\n"};
constexpr string_view kValues[] = {"0",        "1",      "-1",      "1.5e+10", "NaN", "+Inf",
                                   "-Inf",     "nan",    "1e308",   "1e-300",  ".5",  "5.",
                                   "1e-5",     "inf",    "+1",      "-0",      "1E5", "0.1",
                                   "Infinity", "4e-320", "0e99999", "007",     "42"};
constexpr string_view kNoValues[] = {"1e400", "0x1p-2", "1_0",   "1e-400", "+NaN",    "1e",
                                     "--1",   ".",      "1.2.3", "x",      "infinit", "1,"};
constexpr string_view kHelps[] = {"", "a text", "x\\n\\\\", "\"", "é  ", "{l=\"1\"} 2", "a", "#"};
constexpr string_view kTypes[] = {"counter", "gauge", "summary", "histogram", "untyped"};
constexpr string_view kOddities[] = {"\n",
                                     "# a comment\n",
                                     "#\n",
                                     "  \t\n",
                                     "# EOF\n",
                                     "#HELP\n",
                                     "# HELPX a\n",
                                     "# TYPE a\n",
                                     "# TYPE 9 gauge\n",
                                     "# HELP a \\x\n",
                                     "a{l=\"\\x\"} 1\n",
                                     "a{l=\"1\",l=\"2\"} 1\n",
                                     "a{,} 1\n",
                                     "a{l=\"x\" m=\"y\"} 1\n",
                                     "a 1 2 3\n",
                                     "{} 1\n",
                                     "a{\n",
                                     "a{l=\"\n\"} 1\n",
                                     "9a 1\n",
                                     "a\n",
                                     "# TYPE a unknown\n",
                                     "# TYPE a gauge x\n",
                                     "{\"a.b\" 1\n",
                                     "\"a\" 1\n",
                                     "a{\"b\"} 1\n",
                                     "{l=\"1\",\"a.b\"} 2\n",
                                     "{\"\"} 1\n",
                                     "{\"a\\x\"} 1\n",
                                     "a{\"\"=\"1\"} 1\n"};

constexpr std::size_t kMany = 40;

void blanks(std::string& out, Random& random, bool needed) {
  if (needed) out += random.one_in(30) ? '\t' : ' ';
  if (random.one_in(25)) out += random.one_in(2) ? " " : "\t ";
}

bool needs_quotes(string_view name, bool label) {
  if (label && name.find(':') != string_view::npos) return true;
  constexpr string_view kFirst = "_:abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  return kFirst.find(name.front()) == string_view::npos ||
         name.find_first_not_of(std::string(kFirst) + "0123456789") != string_view::npos;
}

void bare_or_quoted(std::string& out, string_view name, bool label, Random& random) {
  if (needs_quotes(name, label)) {
    out.append("\"").append(name).append("\"");
  } else if (random.one_in(kMany)) {
    out.append("\"").append(random.one_in(2) ? name : random.pick(kQuotedNames)).append("\"");
  } else {
    out += name;
  }
}

void label(std::string& out, string_view name, string_view value, Random& random) {
  bare_or_quoted(out, name, true, random);
  blanks(out, random, false);
  out += '=';
  blanks(out, random, false);
  out.append("\"").append(value).append("\"");
  blanks(out, random, false);
}

// At most one `must` (le, quantile), somewhere among up to four others.
void labels(std::string& out, string_view quoted, string_view must, Random& random) {
  const std::size_t count = random.below(random.one_in(4 * kMany) ? 70 : 4);
  if (quoted.empty() && must.empty() && count == 0 && !random.one_in(8)) return;
  const std::size_t place = random.below(count + 1);
  out += '{';
  blanks(out, random, false);
  bool first = true;
  const auto comma = [&] {
    if (!first) out += ',';
    first = false;
  };
  if (!quoted.empty()) {
    comma();
    out.append("\"").append(quoted).append("\"");
  }
  const auto& names = random.one_in(8) ? kOddLabels : kLabels;
  const std::size_t offset = random.below(std::size(names));
  for (std::size_t i = 0; i <= count; ++i) {
    if (i == place && !must.empty() && !random.one_in(kMany)) {
      comma();
      label(out, must, random.pick(kTexts), random);
    }
    if (i == count) break;
    comma();
    string_view name = names[(offset + i) % std::size(names)];
    if (name == must && !random.one_in(kMany)) name = "other";
    label(out, name, random.pick(kTexts), random);
  }
  if (random.one_in(kMany)) out += ',';
  out += '}';
}

void sample(std::string& out, string_view name, string_view must, Random& random) {
  blanks(out, random, false);
  if (needs_quotes(name, false)) {
    labels(out, name, must, random);
  } else if (random.one_in(kMany)) {
    labels(out, random.one_in(2) ? name : random.pick(kQuotedNames), must, random);
  } else {
    out += name;
    labels(out, {}, must, random);
  }
  blanks(out, random, true);
  out += random.one_in(4 * kMany) ? random.pick(kNoValues) : random.pick(kValues);
  if (random.one_in(15)) {
    blanks(out, random, true);
    out += random.one_in(kMany) ? "123456789012345678901"
           : random.one_in(8)   ? "-5"
                                : "1700000000000";
  }
  blanks(out, random, false);
  out += '\n';
}

void announcement(std::string& out, string_view word, string_view name, string_view rest,
                  Random& random) {
  out += '#';
  blanks(out, random, true);
  out += word;
  blanks(out, random, true);
  bare_or_quoted(out, name, false, random);
  blanks(out, random, true);
  out += rest;
  if (random.one_in(kMany)) blanks(out, random, true);
  out += '\n';
}

void family(std::string& out, string_view name, Random& random) {
  const string_view type = random.pick(kTypes);
  const bool help_first = !random.one_in(4);
  const auto help = [&] {
    if (!random.one_in(3)) announcement(out, "HELP", name, random.pick(kHelps), random);
  };
  if (help_first) help();
  const bool typed = !random.one_in(5);
  if (typed) announcement(out, "TYPE", name, type, random);
  if (!help_first) help();
  const std::string sum = std::string(name) + "_sum", count = std::string(name) + "_count";
  for (std::size_t i = random.below(5); i > 0; --i) {
    if (type == "histogram" && typed) {
      sample(out, std::string(name) + "_bucket", "le", random);
    } else {
      sample(out, name, type == "summary" && typed ? "quantile" : "", random);
    }
    if (random.one_in(3) && (type == "summary" || type == "histogram")) {
      sample(out, sum, "", random);
      sample(out, count, "", random);
    }
    if (random.one_in(kMany)) out += random.pick(kOddities);
  }
}

std::size_t line_begin(const std::string& body, Random& random) {
  const std::size_t newline = body.rfind('\n', random.below(body.size() + 1));
  return newline == std::string::npos ? 0 : newline + 1;
}

std::size_t line_length(const std::string& body, std::size_t begin) {
  return std::min(body.find('\n', begin), body.size() - 1) - begin + 1;
}

}  // namespace

std::string grammar_body(Random& random) {
  std::string out;
  const std::size_t first = random.below(std::size(kNames));
  for (std::size_t i = random.below(5) + random.below(3); i > 0; --i) {
    string_view name = kNames[(first + i) % std::size(kNames)];
    if (random.one_in(kMany)) name = random.pick(kNames);
    if (random.one_in(8)) name = random.pick(kOddNames);
    family(out, name, random);
    if (random.one_in(20)) out += random.pick(kOddities);
  }
  return out;
}

void spoil(std::string& body, Random& random) {
  constexpr string_view kTelling = "\n{}=\",\\# :[]0.\t\r+-eNa_";
  const std::size_t at = random.below(body.size() + 1);
  switch (random.below(9)) {
    case 0:
      body.insert(at, 1, static_cast<char>(random.next()));
      return;
    case 1:
      body.erase(at, 1 + random.below(8));
      return;
    case 2:
      if (at < body.size()) body[at] = static_cast<char>(body[at] ^ (1 << random.below(8)));
      return;
    case 3:
      body.insert(at, body.substr(random.below(body.size() + 1), random.below(64)));
      return;
    case 4:
      if (random.one_in(4)) body.resize(at);
      return;
    case 5:
      if (at < body.size()) body[at] = kTelling[random.below(kTelling.size())];
      return;
    case 6:
      body.insert(at, 1, kTelling[random.below(kTelling.size())]);
      return;
    default: {
      if (body.empty()) return;
      const std::size_t from = std::min(line_begin(body, random), body.size() - 1);
      const std::string line = body.substr(from, line_length(body, from));
      if (random.one_in(2)) body.erase(from, line.size());
      body.insert(std::min(line_begin(body, random), body.size()), line);
    }
  }
}

bao_exporter::ParseLimits some_limits(Random& random) {
  bao_exporter::ParseLimits limits;
  if (random.one_in(8)) limits.samples_max = random.below(10);
  if (random.one_in(8)) limits.series_per_family_max = random.below(5);
  if (random.one_in(8)) limits.line_bytes_max = random.below(60);
  if (random.one_in(8)) limits.labels_per_sample_max = random.below(5);
  return limits;
}

}  // namespace reference

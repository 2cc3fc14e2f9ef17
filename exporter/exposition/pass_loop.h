// The loops over plain lines: those of a known family, whose labels stand as everybody writes them
// (name{a="b",c="d"} value), without blanks, timestamps and bytes beyond ASCII. Included by one
// source for each instruction set, inside a namespace of its own, with `Ops` there:
//   kWidth            bytes at a time, at most kSlack
//   differ(a, b)      one bit for each of them: not equal
//   stop(p)           a quote, a backslash, a control byte, a byte beyond ASCII
//   text_stop(p)      the same without the quote
//   not_name(p)       no byte of a metric's name (which may have ':')
//   copy(to, from)    kWidth bytes
//   number(p)         of 32 bytes: which are no digits, which are newlines
// A line that does not fit is left to Pass::take_line(), before anything was noted of it.

#include "exposition/pass_bytes.h"

// Bounds for a plain line: what is written for one fits into kLineRoom and its head.
inline constexpr std::uint32_t kBlockMax = 4'000;
inline constexpr std::uint32_t kLineRoom = 12'000;

// The part that a line begins with, and where its name ends; false: another name.
[[gnu::always_inline]] inline bool read_part(const char* at, const char* safe,
                                             std::string_view family, Part& part,
                                             std::uint32_t& bytes) {
  bytes = static_cast<std::uint32_t>(family.size());
  if (at + bytes > safe || !equal(at, family.data(), bytes)) return false;
  const char* const p = at + bytes;
  part = Part::kBase;
  if (*p == '{' || *p == ' ') return true;
  if (std::memcmp(p, "_sum", 4) == 0) {
    part = Part::kSum;
    bytes += 4;
  } else if (std::memcmp(p, "_count", 6) == 0) {
    part = Part::kCount;
    bytes += 6;
  } else if (std::memcmp(p, "_bucket", 7) == 0) {
    part = Part::kBucket;
    bytes += 7;
  } else {
    return false;
  }
  return at[bytes] == '{' || at[bytes] == ' ';
}

// The rule of the label that begins at `at`, up to its '="'; null: no plain name.
[[gnu::always_inline]] inline const LabelRule* read_name(Pass& pass, const char* at,
                                                         std::uint32_t& id) {
  const LabelRule& foretold = pass.plan->rule(id);
  // A rule that was not learnt yet is a name of no bytes, and would match any.
  if (foretold.bytes != 0 && equal(at, foretold.name.data(), foretold.bytes + 2)) return &foretold;
  const char* end = at;
  while (text_rules::is_label_byte(*end) && end - at <= static_cast<int>(LabelRule::kLongest)) {
    ++end;
  }
  if (!text_rules::is_label_start(*at) || end[0] != '=' || end[1] != '"') return nullptr;
  id = pass.plan->find({at, static_cast<std::size_t>(end - at)});
  return id == PlanImage::kUnknown ? nullptr : &pass.plan->rule(id);
}

// Where the value that begins at `p` ends: at its closing quote; null: it is not plain.
[[gnu::always_inline]] inline const char* value_end(const char* p, const char* safe) {
  for (;;) {
    if (p > safe) return nullptr;
    const std::uint64_t stops = Ops::stop(p);
    if (stops == 0) {
      p += Ops::kWidth;
      continue;
    }
    p += std::countr_zero(stops);
    if (*p == '"') return p;
    if (*p != '\\' || (p[1] != '\\' && p[1] != '"' && p[1] != 'n')) return nullptr;
    p += 2;
  }
}

struct LabelsRead {
  const char* after = nullptr;  // behind '}', or null: not plain
  char* out = nullptr;
  std::uint64_t sum = 0;
  std::uint64_t names = 0;
  std::string_view removed;
  std::uint32_t has = 0;
  bool is_special = false;
};

// One label from its name to its closing quote at `end`.
[[gnu::always_inline]] inline void take_label(const LabelRule& rule, const char* begin,
                                              const char* end, LabelsRead& read) {
  const char* const value = begin + rule.bytes + 2;
  const auto bytes = static_cast<std::uint32_t>(end - value);
  if (bytes == 0) read.is_special = true;
  read.sum += value_hash(value, bytes, rule.hash);
  read.has |= rule.needed_for;
  switch (rule.action) {
    case LabelRule::Action::kKeep:
      *read.out = ',';
      read.out = put(read.out + 1, begin, static_cast<std::uint32_t>(end + 1 - begin));
      break;
    case LabelRule::Action::kRemove:
      read.removed = {value, bytes};
      break;
    case LabelRule::Action::kRename:
      read.out = put(read.out, rule.renamed, rule.renamed_bytes);
      read.out = put(read.out, value, bytes + 1);
      break;
    case LabelRule::Action::kHard:
      read.is_special = true;
      break;
  }
}

// The labels that the line before had, too: they are not read again. How many there are.
[[gnu::always_inline]] inline std::uint32_t take_seen_labels(const Pass& pass, const char* block,
                                                             LabelsRead& read) {
  const SeenLabels& seen = pass.seen;
  if (seen.count == 0) return 0;
  const std::uint32_t limit = seen.labels[seen.count - 1].end;
  if (block + limit > pass.safe) return 0;
  const auto same = static_cast<std::uint32_t>(skip_equal(block, seen.block, limit) - block);
  std::uint32_t n = 0;
  while (n < seen.count && seen.labels[n].end <= same) ++n;
  if (n == 0) return 0;
  const SeenLabel& last = seen.labels[n - 1];
  read.sum = last.sum;
  read.names = last.names;
  read.removed = last.removed;
  read.has = last.has;
  read.out = put(read.out, pass.store->out.data() + seen.out, last.out_end);
  return n;
}

// The labels from `block`, which begins behind '{', rendered to `out`, each after a comma.
inline LabelsRead read_labels(Pass& pass, const char* block, char* out) {
  SeenLabels& seen = pass.seen;
  LabelsRead read;
  read.out = out;
  std::uint32_t n = take_seen_labels(pass, block, read);
  seen.count = n;
  const char* at = n == 0 ? block : block + seen.labels[n - 1].end;
  const std::size_t labels_max =
      std::min<std::size_t>(pass.book.limits().labels_per_sample_max, seen.labels.size());
  while (*at != '}') {
    if (n > 0 && *at++ != ',') return read;
    if (n == labels_max || at > pass.safe) return read;
    const char* const begin = at;
    SeenLabel& label = seen.labels[n];  // of some line before
    const LabelRule* const rule = read_name(pass, begin, label.id);
    if (rule == nullptr) {
      label.id = 0;
      return read;
    }
    const std::uint64_t bit = std::uint64_t{1} << label.id;
    if ((read.names & bit) != 0) return read;
    read.names |= bit;
    const char* const end = value_end(begin + rule->bytes + 2, pass.safe);
    if (end == nullptr || end - block > kBlockMax) return read;
    take_label(*rule, begin, end, read);
    at = end + 1;
    label.end = static_cast<std::uint32_t>(at - block);
    label.out_end = static_cast<std::uint32_t>(read.out - out);
    label.sum = read.sum;
    label.names = read.names;
    label.removed = read.removed;
    label.has = read.has;
    ++n;
  }
  seen.block = block;
  seen.count = n;
  read.after = at + 1;
  return read;
}

// What was rendered of a line that is left to others will be overwritten.
inline bool forget_labels(Pass& pass) {
  pass.seen.count = 0;
  return false;
}

// A plain sample of the current family; false: nothing was noted of it.
inline bool take_sample(Pass& pass) {
  const char* const line = pass.at;
  FamilyRecord& family = pass.book.family();
  Part part;
  std::uint32_t name_bytes;
  if (!read_part(line, pass.safe, family.name, part, name_bytes)) return false;
  if ((pass.open & part_bit(part)) == 0 && !pass.open_part(part)) return false;
  if (pass.book.is_full()) return false;
  PartStore& store = *pass.store;
  const Head& head = pass.head_of[static_cast<std::size_t>(part)];
  if (store.out.capacity() - store.out.size() < kLineRoom + head.bytes) {
    pass.more_out(kLineRoom + head.bytes);
  }
  char* const out_begin = store.out.data() + store.out.size();
  char* out = put(out_begin, pass.heads.data() + head.at, head.bytes);
  const char* value = line + name_bytes + 1;
  std::uint64_t sum = 0;
  std::string_view removed;
  bool is_special = false;
  std::uint32_t has = 0;
  if (value[-1] == '{') {
    const LabelsRead labels = read_labels(pass, value, out);
    if (labels.after == nullptr) return false;
    if (*labels.after != ' ') return forget_labels(pass);
    pass.seen.out = static_cast<std::uint32_t>(out - store.out.data());
    value = labels.after + 1;
    out = labels.out;
    sum = labels.sum;
    removed = labels.removed;
    has = labels.has;
    is_special = labels.is_special;
  }
  if (part == Part::kBase && family.type == MetricType::kSummary && (has & kQuantile) == 0) {
    return forget_labels(pass);
  }
  if (part == Part::kBucket && (has & kLe) == 0) return forget_labels(pass);
  if (value > pass.safe) return forget_labels(pass);
  const std::uint32_t bytes = value_bytes(value);
  if (bytes == 0) return forget_labels(pass);
  if (static_cast<std::size_t>(value - line) + bytes > pass.book.limits().line_bytes_max) {
    return forget_labels(pass);
  }
  *out++ = '}';
  *out++ = ' ';
  const auto at = static_cast<std::uint32_t>(line - pass.text.data());
  const bool other_removed = removed.data() != pass.removed.data() && removed != pass.removed;
  if (pass.fresh || is_special || other_removed) {
    if (is_special) pass.is_special = true;
    pass.note_removed(removed);
    if (pass.fresh) family.head_end = at;
    pass.fresh = false;
  }
  if (store.lines.size() == store.lines.capacity()) store.lines.reserve(store.lines.size() + 64);
  LineRecord& entry = store.lines[store.lines.size()];
  entry.hash = series::whole_hash(head.name_hash, sum, pass.plan->plan().hash_seed);
  entry.at = at;
  entry.prefix = static_cast<std::uint32_t>(value - line);
  entry.out_at = store.out.size();
  entry.out_prefix = static_cast<std::uint32_t>(out - out_begin);
  store.lines.set_size(store.lines.size() + 1);
  out = put(out, value, bytes + 1);
  store.out.set_size(static_cast<std::uint32_t>(out - store.out.data()));
  pass.book.count_sample();
  pass.at = value + bytes + 1;
  return true;
}

inline MetricType type_at(const char* p, std::uint32_t bytes, bool& known) {
  known = true;
  const std::string_view word(p, bytes);
  if (word == "gauge") return MetricType::kGauge;
  if (word == "counter") return MetricType::kCounter;
  if (word == "summary") return MetricType::kSummary;
  if (word == "histogram") return MetricType::kHistogram;
  known = false;
  return MetricType::kUntyped;
}

// "# HELP name text" or "# TYPE name type", without more blanks than that. `plain`: it was one;
// false: it is at fault.
inline bool take_header(Pass& pass, bool& plain) {
  plain = false;
  const char* const line = pass.at;
  const bool help = std::memcmp(line, "# HELP ", 7) == 0;
  if (!help && std::memcmp(line, "# TYPE ", 7) != 0) return true;
  const char* const name = line + 7;
  const char* p = name;
  for (;;) {
    if (p > pass.safe) return true;
    const std::uint64_t ends = Ops::not_name(p);
    if (ends != 0) {
      p += std::countr_zero(ends);
      break;
    }
    p += Ops::kWidth;
  }
  if (p == name || *p != ' ' || text_rules::is_digit(*name) || text_rules::is_blank(p[1])) {
    return true;
  }
  const char* const said = p + 1;
  p = said;
  for (;;) {
    if (p > pass.safe) return true;
    const std::uint64_t stops = Ops::text_stop(p);
    if (stops != 0) {
      p += std::countr_zero(stops);
      break;
    }
    p += Ops::kWidth;
  }
  if (*p != '\n') return true;
  if (static_cast<std::size_t>(p - line) > pass.book.limits().line_bytes_max) return true;
  const auto bytes = static_cast<std::uint32_t>(p - said);
  bool known = true;
  const MetricType type = help ? MetricType::kUntyped : type_at(said, bytes, known);
  if (!known) return true;
  plain = true;
  return pass.take_header(help, {name, static_cast<std::size_t>(said - 1 - name)}, {said, bytes},
                          type, p + 1);
}

// The whole body without an earlier one to compare with; false: Pass::error() says why.
bool run_cold(Pass& pass) {
  while (pass.at < pass.safe) {
    if (*pass.at == '#') {
      bool plain;
      if (!take_header(pass, plain)) return false;
      if (plain) continue;
    } else if (pass.family != FamilyBook::kNone && take_sample(pass)) {
      continue;
    }
    if (!pass.take_line()) return false;
  }
  while (pass.at < pass.end) {
    if (!pass.take_line()) return false;
  }
  return pass.close_family(pass.book.current());
}

#include "exposition/pass_known.h"

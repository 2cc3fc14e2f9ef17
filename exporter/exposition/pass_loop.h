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

[[gnu::always_inline]] inline const char* skip_equal(const char* a, const char* b, std::uint32_t limit) {
  std::uint32_t i = 0;
  do {
    const std::uint64_t other = Ops::differ(a + i, b + i);
    if (other != 0) return a + i + std::countr_zero(other);
    i += Ops::kWidth;
  } while (i < limit);
  return a + i;
}

[[gnu::always_inline]] inline bool equal(const char* a, const char* b, std::uint32_t bytes) {
  std::uint32_t i = 0;
  for (; i + Ops::kWidth <= bytes; i += Ops::kWidth) {
    if (Ops::differ(a + i, b + i) != 0) return false;
  }
  const std::uint32_t rest = bytes - i;
  return rest == 0 || (Ops::differ(a + i, b + i) & ((std::uint64_t{1} << rest) - 1)) == 0;
}

// May write kWidth - 1 bytes too many.
[[gnu::always_inline]] inline char* put(char* to, const char* from, std::uint32_t bytes) {
  std::uint32_t i = 0;
  do {
    Ops::copy(to + i, from + i);
    i += Ops::kWidth;
  } while (i < bytes);
  return to + bytes;
}

inline std::uint32_t word_at(const char* p) {
  std::uint32_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

// The number of bytes of a value that ends with its line, 0 when it is none or too long for us.
// The usual forms without a branch: which of them comes next cannot be foretold.
[[gnu::always_inline]] inline std::uint32_t value_bytes(const char* p) {
  const auto [not_digits, newlines] = Ops::number(p);
  if (newlines == 0) return 0;
  const auto bytes = static_cast<std::uint32_t>(std::countr_zero(newlines));
  const std::uint32_t odd = not_digits & ((std::uint32_t{1} << bytes) - 1);
  const std::uint32_t odd2 = odd & (odd - 1);
  const std::uint32_t odd3 = odd2 & (odd2 - 1);
  const std::uint32_t odd4 = odd3 & (odd3 - 1);
  const auto first = static_cast<std::uint32_t>(std::countr_zero(odd)) & 31U;
  const auto second = static_cast<std::uint32_t>(std::countr_zero(odd2)) & 31U;
  const auto third = static_cast<std::uint32_t>(std::countr_zero(odd3)) & 31U;
  const bool point = p[first] == '.';
  const bool whole = (odd == 0) & (bytes > 0);
  const bool decimal = point & (odd != 0) & (odd2 == 0) & (bytes > 1);
  const bool power = point & (odd3 != 0) & (odd4 == 0) & (second > 1) & (p[second] == 'e') &
                     (third == second + 1) & ((p[third] == '+') | (p[third] == '-')) &
                     (bytes - third - 2 < 2);  // one or two digits: in the range of a double
  std::uint32_t nan;
  std::memcpy(&nan, "NaN\n", sizeof nan);
  if (whole | decimal | power | (word_at(p) == nan)) return bytes;
  return text_rules::is_value({p, bytes}) ? bytes : 0;
}

[[gnu::always_inline]] inline std::uint64_t value_hash(const char* p, std::uint32_t bytes, std::uint64_t seed) {
  return bytes <= 16 ? hash_short_bytes(p, bytes, seed) : hash_bytes({p, bytes}, seed);
}

// Bounds for a plain line: what is written for one fits into kLineRoom and its head.
inline constexpr std::uint32_t kBlockMax = 4'000;
inline constexpr std::uint32_t kLineRoom = 12'000;

// The part that a line begins with, and where its name ends; false: another name.
[[gnu::always_inline]] inline bool read_part(const char* at, const char* safe, std::string_view family, Part& part, std::uint32_t& bytes) {
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

struct LabelsRead {
  const char* after;  // behind '}', or null: not plain
  char* out;
  std::uint64_t sum;
  std::string_view removed;
  std::uint32_t has;
  bool is_special;
};

// The labels from `block`, which begins behind '{', rendered to `out`, each after a comma.
inline LabelsRead read_labels(Pass& pass, const char* block, char* out) {
  SeenLabels& seen = pass.seen;
  const std::uint32_t known = seen.count;
  std::uint32_t n = 0;
  const char* const out_begin = out;
  LabelsRead read{nullptr, out, 0, {}, 0, false};
  std::uint64_t names = 0;
  const char* at = block;
  if (known > 0) {
    const std::uint32_t limit = seen.labels[known - 1].end;
    if (block + limit > pass.safe) return read;
    const auto same = static_cast<std::uint32_t>(skip_equal(block, seen.block, limit) - block);
    while (n < known && seen.labels[n].end <= same) ++n;
    if (n > 0) {
      const SeenLabel& last = seen.labels[n - 1];
      at = block + last.end;
      names = last.names;
      read.sum = last.sum;
      read.removed = last.removed;
      read.has = last.has;
      out = put(out, pass.store->out.data() + seen.out, last.out_end);
    }
  }
  seen.count = n;
  const std::size_t labels_max = std::min<std::size_t>(pass.book.limits().labels_per_sample_max,
                                                       seen.labels.size());
  while (*at != '}') {
    if (n > 0 && *at++ != ',') return read;
    if (n == labels_max || at > pass.safe) return read;
    const char* const begin = at;
    std::uint32_t id = PlanImage::kUnknown;
    const LabelRule& foretold = pass.plan->rule(seen.labels[n].id);  // of any line before
    if (equal(begin, foretold.name.data(), foretold.bytes + 2)) id = seen.labels[n].id;
    if (id == PlanImage::kUnknown) {
      const std::uint64_t ends = Ops::not_name(at);
      // ':' is no byte of a label's name: it is not found, as such a name has no rule.
      const char* name_end = at;
      if (ends != 0) {
        name_end += std::countr_zero(ends);
      } else {
        while (text_rules::is_label_byte(*name_end) && name_end - at <= 32) ++name_end;
      }
      const std::string_view name(at, static_cast<std::size_t>(name_end - at));
      if (name.empty() || !text_rules::is_label_start(name[0]) ||
          name.find(':') != std::string_view::npos) {
        return read;
      }
      if (name_end[0] != '=' || name_end[1] != '"') return read;
      id = pass.plan->find(name);
      if (id == PlanImage::kUnknown) return read;
    }
    const LabelRule& rule = pass.plan->rule(id);
    const std::uint64_t bit = std::uint64_t{1} << id;
    if ((names & bit) != 0) return read;
    names |= bit;
    const char* const value = begin + rule.bytes + 2;
    const char* p = value;
    for (;;) {
      if (p > pass.safe) return read;
      const std::uint64_t stops = Ops::stop(p);
      if (stops == 0) {
        p += Ops::kWidth;
        continue;
      }
      p += std::countr_zero(stops);
      if (*p == '"') break;
      if (*p != '\\' || (p[1] != '\\' && p[1] != '"' && p[1] != 'n')) return read;
      p += 2;
    }
    const auto bytes = static_cast<std::uint32_t>(p - value);
    at = p + 1;
    if (at - block > kBlockMax) return read;
    if (bytes == 0) read.is_special = true;
    read.sum += value_hash(value, bytes, rule.hash);
    read.has |= rule.needed_for;
    switch (rule.action) {
      case LabelRule::Action::kKeep:
        *out = ',';
        out = put(out + 1, begin, static_cast<std::uint32_t>(at - begin));
        break;
      case LabelRule::Action::kRemove:
        read.removed = {value, bytes};
        break;
      case LabelRule::Action::kRename:
        out = put(out, rule.renamed, rule.renamed_bytes);
        out = put(out, value, bytes + 1);
        break;
      case LabelRule::Action::kHard:
        read.is_special = true;
        break;
    }
    SeenLabel& label = seen.labels[n++];
    label.begin = static_cast<std::uint32_t>(begin - block);
    label.end = static_cast<std::uint32_t>(at - block);
    label.out_end = static_cast<std::uint32_t>(out - out_begin);
    label.id = id;
    label.sum = read.sum;
    label.names = names;
    label.removed = read.removed;
    label.has = read.has;
  }
  seen.block = block;
  seen.count = n;
  read.after = at + 1;
  read.out = out;
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
  std::memcpy(out, "} ", 2);
  out += 2;
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

// How many lines of the poll before are looked at when one is missing.
inline constexpr std::uint32_t kLookAhead = 8;

// Whether the text at `pass.at` begins as that line of the poll before, all in reach of loads.
[[gnu::always_inline]] inline bool begins_as(const Pass& pass, const LineRecord& old) {
  const PartStore& before = *pass.previous;
  return pass.at + old.prefix <= pass.safe &&
         std::size_t{old.at} + old.prefix + kSlack <= before.body.size() &&
         equal(pass.at, before.body.data() + old.at, old.prefix);
}

// Lines that begin as those of the poll before, one after the other; gives the first that did not
// come, or `end`. All that changes stands in locals: a store of bytes may alias anything else.
inline std::uint32_t take_known_lines(Pass& pass, std::uint32_t l, std::uint32_t end) {
  PartStore& store = *pass.store;
  const PartStore& before = *pass.previous;
  if (store.lines.capacity() - store.lines.size() < end - l) {
    store.lines.reserve(std::size_t{store.lines.size()} + (end - l));
  }
  const std::size_t line_max = pass.book.limits().line_bytes_max;
  const char* const text = pass.text.data();
  const char* const safe = pass.safe;
  const char* const old_text = before.body.data();
  const std::size_t old_safe = before.body.size() > kSlack ? before.body.size() - kSlack : 0;
  const char* const old_out = before.out.data();
  const LineRecord* old = before.lines.data() + l;
  LineRecord* entry = store.lines.data() + store.lines.size();
  const LineRecord* const entries_begin = entry;
  const char* at = pass.at;
  char* out = store.out.data() + store.out.size();
  const char* out_end = store.out.data() + store.out.capacity();
  for (; l < end; ++l, ++old, ++entry) {
    const std::uint32_t prefix = old->prefix;
    const char* const value = at + prefix;
    if (value > safe || std::size_t{old->at} + prefix > old_safe) break;
    if (!equal(at, old_text + old->at, prefix)) break;
    const std::uint32_t bytes = value_bytes(value);
    const std::uint32_t out_prefix = old->out_prefix;
    if (bytes == 0 || std::size_t{prefix} + bytes > line_max) break;
    if (static_cast<std::size_t>(out_end - out) < std::size_t{out_prefix} + bytes + 1 + kSlack) {
      if (out_prefix == LineRecord::kDropped) break;
      store.out.set_size(static_cast<std::uint32_t>(out - store.out.data()));
      pass.more_out(std::size_t{out_prefix} + bytes + 1 + kSlack);
      out = store.out.data() + store.out.size();
      out_end = store.out.data() + store.out.capacity();
    }
    entry->hash = old->hash;
    entry->at = static_cast<std::uint32_t>(at - text);
    entry->prefix = prefix;
    entry->out_at = static_cast<std::uint32_t>(out - store.out.data());
    entry->out_prefix = out_prefix;
    out = put(out, old_out + old->out_at, out_prefix);
    out = put(out, value, bytes + 1);
    at = value + bytes + 1;
  }
  store.lines.set_size(store.lines.size() + static_cast<std::uint32_t>(entry - entries_begin));
  store.out.set_size(static_cast<std::uint32_t>(out - store.out.data()));
  pass.at = at;
  return l;
}

// The lines of the current family, which is `old` in the poll before, and comments behind them.
inline bool take_known_family(Pass& pass, const FamilyRecord& old, const char* next_head,
                              std::uint32_t next_head_bytes) {
  const std::uint32_t end = old.line_begin + old.line_count;
  std::uint32_t l = old.line_begin;
  for (;;) {
    l = take_known_lines(pass, l, end);
    if (pass.at == pass.end) break;
    if (*pass.at == '#' && pass.begins_with(next_head, next_head_bytes)) break;
    if (l < end && pass.take_known_line(pass.previous->lines[l])) {
      ++l;
      continue;
    }
    std::uint32_t ahead = l + 1;
    const std::uint32_t ahead_end = std::min(end, l + 1 + kLookAhead);
    while (ahead < ahead_end && !begins_as(pass, pass.previous->lines[ahead])) ++ahead;
    if (ahead < ahead_end) {
      l = ahead;
      pass.is_changed = true;
      continue;
    }
    if ((*pass.at == '#' || *pass.at <= ' ') && pass.take_comment()) continue;
    if (pass.at >= pass.safe) return false;
    if (next_head_bytes == 0 && pass.next_begins()) break;
    pass.note_lines();
    if (!take_sample(pass)) return false;
    pass.note_new_line();
  }
  if (l < end) pass.is_changed = true;
  return pass.close_known_family();
}

// A body with the same families as the one before, whatever became of their lines; false: it is
// another, or something is wrong with it: run_cold() decides.
bool run_steady(Pass& pass) {
  const PartStore& before = *pass.previous;
  const FamilyRecord* const families = before.families.data();
  const std::uint32_t count = before.families.size();
  if (count > 0 && families[0].head_at > 0) {
    while (pass.at != pass.end && pass.take_comment()) {
    }
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!pass.enter_known_family(families[i])) return false;
    const char* next_head = nullptr;
    std::uint32_t next_head_bytes = 0;
    if (i + 1 < count) {
      next_head = before.body.data() + families[i + 1].head_at;
      next_head_bytes = families[i + 1].head_end - families[i + 1].head_at;
    }
    if (!take_known_family(pass, families[i], next_head, next_head_bytes)) return false;
  }
  return pass.at == pass.end;
}

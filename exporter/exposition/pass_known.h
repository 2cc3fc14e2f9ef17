// The loop over a body that is compared with the one before. See pass_loop.h, which includes this.

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
    if (next_head_bytes == 0 && pass.next_begins()) break;
    if (pass.at >= pass.safe) return false;
    pass.note_lines();
    const char* const line = pass.at;
    if (!take_sample(pass)) return false;
    const std::uint32_t known = pass.find_ahead(line, l, end);
    if (known == end) {
      pass.note_new_line();
    } else {
      l = known + 1;
      pass.is_changed = true;
    }
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

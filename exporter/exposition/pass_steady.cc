// What a pass needs when it compares a body with the one before.
#include <algorithm>
#include <cstring>

#include "exposition/pass.h"
#include "exposition/text_rules.h"

namespace bao_exporter {

namespace {

constexpr std::uint32_t kClaimsMax = 64;  // each looks through all families
constexpr std::uint32_t kFewNew = 32;     // each is compared with all that may be equal

}  // namespace

void Pass::begin_steady(const PartStore& before) {
  previous = &before;
  store->removed = before.removed;
  store->lines.reserve(before.lines.size() + before.lines.size() / 8 + 64);
  store->families.reserve(before.families.size());
}

bool Pass::enter_known_family(const FamilyRecord& old) {
  const char* const head = previous->body.data() + old.head_at;
  const std::uint32_t bytes = old.head_end - old.head_at;
  const auto name_end = static_cast<std::uint32_t>(old.name.data() + old.name.size() - head);
  if (!begins_with(head, bytes != 0 ? bytes : name_end)) return false;
  const auto moved = [&](std::string_view view) {
    return std::string_view(at + (view.data() - head), view.size());
  };
  FamilyRecord record = old;
  record.name = moved(old.name);
  if (old.has_help) record.help = moved(old.help);
  record.head_at = static_cast<std::uint32_t>(at - text.data());
  record.head_end = record.head_at + bytes;
  record.line_begin = store->lines.size();
  record.line_count = 0;
  record.out_begin = store->out.size();
  book.enter_known(record);
  family = book.current();
  ++known_;
  at += bytes;
  if (record.is_renamed) note_served_names();
  begin_lines(old.is_special);
  is_changed = false;
  new_lines.clear();
  looks_ = 2 * old.line_count;
  removed = previous->removed[old.removed];
  fresh = old.line_count == 0;
  return true;
}

bool Pass::take_known_line(const LineRecord& old) {
  if (!begins_with(previous->body.data() + old.at, old.prefix)) return false;
  const char* const value = at + old.prefix;
  const void* newline = std::memchr(value, '\n', static_cast<std::size_t>(end - value));
  const auto bytes = static_cast<std::uint32_t>(static_cast<const char*>(newline) - value);
  if (!text_rules::is_value({value, bytes})) return false;
  if (std::size_t{old.prefix} + bytes > book.limits().line_bytes_max) return false;
  LineRecord line = old;
  line.at = static_cast<std::uint32_t>(at - text.data());
  line.out_at = store->out.size();
  if (old.out_prefix != LineRecord::kDropped) {
    append({previous->out.data() + old.out_at, old.out_prefix});
    append({value, bytes + std::size_t{1}});
  }
  store->lines.push_back(line);
  at = value + bytes + 1;
  return true;
}

bool Pass::take_comment() {
  const void* newline = std::memchr(at, '\n', static_cast<std::size_t>(end - at));
  const char* const to = static_cast<const char*>(newline);
  const std::string_view line(at, static_cast<std::size_t>(to - at));
  Cursor cursor(line);
  cursor.skip_blanks();
  if (!cursor.at_end()) {
    Announcement said;
    if (!cursor.take('#') || read_announcement(cursor, said)) return false;
    if (said.word != Announcement::Word::kComment) return false;
  }
  if (line.size() > book.limits().line_bytes_max) return false;
  if (text_rules::find_illegal_byte(line) != std::string_view::npos) return false;
  at = to + 1;
  return true;
}

bool Pass::next_begins() const {
  if (known_ == previous->families.size()) return false;
  const FamilyRecord& next = previous->families[known_];
  if (next.line_count == 0) return false;
  const LineRecord& line = previous->lines[next.line_begin];
  return begins_with(previous->body.data() + line.at, line.prefix);
}

void Pass::note_lines() { book.set_counts(store->lines.size()); }

std::uint32_t Pass::find_ahead(const char* line, std::uint32_t l, std::uint32_t to) {
  const std::uint64_t hash = store->lines.back().hash;
  for (; l < to && looks_ > 0; ++l, --looks_) {
    const LineRecord& old = previous->lines[l];
    if (old.hash != hash) continue;
    // Of a series whose labels stand in another order it is not for us to say that it came.
    const bool same = old.prefix == store->lines.back().prefix &&
                      std::memcmp(line, previous->body.data() + old.at, old.prefix) == 0;
    if (same) return l;
  }
  return to;
}

// As FamilyBook::claim(), of the families of both polls: one that has lost its samples still has
// its say here, and then run_cold() decides.
bool Pass::claim_known(Part part, std::string_view name) {
  FamilyRecord& record = book.family();
  if ((record.parts & part_bit(part)) != 0) return true;
  if (++claims_ > kClaimsMax) return false;
  const auto claims = [&](const FamilyRecord& other, Part theirs) {
    const std::string_view suffix = part_suffix(theirs);
    return (other.parts & part_bit(theirs)) != 0 && name.ends_with(suffix) &&
           name.size() == other.name.size() + suffix.size() && name.starts_with(other.name);
  };
  const auto is_taken = [&](const Pod<FamilyRecord>& families) {
    return std::any_of(families.begin(), families.end(), [&](const FamilyRecord& other) {
      if (other.name == record.name) return false;
      return claims(other, Part::kBase) || claims(other, Part::kSum) ||
             claims(other, Part::kCount) || claims(other, Part::kBucket);
    });
  };
  if (is_taken(previous->families) || is_taken(store->families)) return false;
  record.parts = static_cast<std::uint8_t>(record.parts | part_bit(part));
  return true;
}

// Lines that the poll before had are all different: only new ones may be equal to another.
bool Pass::has_new_twice(const FamilyRecord& record) {
  std::uint64_t bits[8] = {};
  const auto bit_of = [&](std::uint64_t hash) -> std::uint64_t {
    return (bits[(hash >> 6) & 7] >> (hash & 63)) & 1;
  };
  for (const std::uint32_t i : new_lines) {
    const std::uint64_t hash = store->lines[i].hash;
    bits[(hash >> 6) & 7] |= std::uint64_t{1} << (hash & 63);
  }
  const std::uint32_t to = record.line_begin + record.line_count;
  for (std::uint32_t i = record.line_begin; i < to; ++i) {
    const std::uint64_t hash = store->lines[i].hash;
    if (bit_of(hash) == 0) continue;
    for (const std::uint32_t other : new_lines) {
      // Equal hashes: it is twice, or nearly so; run_cold() finds out.
      if (other != i && store->lines[other].hash == hash) return true;
    }
  }
  return false;
}

bool Pass::close_known_family() {
  note_lines();
  FamilyRecord& record = book.family();
  const ParseLimits& limits = book.limits();
  if (record.line_count > limits.series_per_family_max) return false;
  if (book.samples() > limits.samples_max) return false;
  // Without a head it is its samples that announce it.
  if (record.head_at == record.head_end && record.line_count == 0) return false;
  is_changed = is_changed || !new_lines.empty();
  if (new_lines.size() > kFewNew) return close_family(book.current());
  if (!new_lines.empty() && has_new_twice(record)) return false;
  if (is_changed || record.by_rules.merged) return finish_family(record);
  record.out_end = store->out.size();  // all else is as it was
  return true;
}

}  // namespace bao_exporter

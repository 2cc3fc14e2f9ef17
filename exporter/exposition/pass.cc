#include "exposition/pass.h"

#include <algorithm>
#include <cstring>

#include "bao_exporter/hash.h"
#include "exposition/fault_text.h"
#include "exposition/names.h"
#include "exposition/text_rules.h"

namespace bao_exporter {

namespace {
constexpr std::size_t kRemovedMax = 200;  // different values that are told apart from poll to poll
}

Pass::Pass() = default;

void Pass::begin(PartStore& to, PlanImage& image) {
  store = &to;
  plan = &image;
  image.forget_if_full();
  text = to.body;
  at = text.data();
  end = at + text.size();
  safe = text.size() > kSlack ? end - kSlack : at;
  to.out.clear();
  to.lines.clear();
  to.families.clear();
  to.stamps.clear();
  to.renamed.clear();
  to.removed.resize(1);
  to.plan = image.number();
  book.begin(at, to.families, to.limits, image.plan().hash_seed);
  family = FamilyBook::kNone;
  previous = nullptr;
  known_ = claims_ = 0;
  fault_.reset();
  twice_.reset();
  is_too_large_ = false;
  begin_rules();
  to.out.reserve(text.size() + text.size() / 2 + kSlack);
}

bool Pass::take_line() {
  const void* newline = std::memchr(at, '\n', static_cast<std::size_t>(end - at));
  const char* const to = static_cast<const char*>(newline);
  const std::string_view line(at, static_cast<std::size_t>(to - at));
  const std::uint32_t before = book.current();
  bool is_sample = false;
  if (line.size() > book.limits().line_bytes_max) {
    fault_ = Fault{ErrorCode::kLimitLine, book.limits().line_bytes_max + 1,
                   "the line is longer than limits.line_bytes_max"};
  } else if (text_rules::find_illegal_byte(line) != std::string_view::npos) {
    fault_ = Fault{};  // error() finds it again
  } else {
    fault_ = book.take(line, line_, is_sample);
  }
  if ((fault_ || book.current() != before) && !close_family(before)) return false;
  if (fault_) return false;
  if (book.current() != before) enter_family();
  if (is_sample) render_plainly(line_);
  at = to + 1;
  return true;
}

bool Pass::take_header(bool help, std::string_view name, std::string_view said, MetricType type,
                       const char* next) {
  const std::uint32_t before = book.current();
  FamilyRecord* const announced = book.announce_open(name, at);
  if (announced == nullptr) return take_line();
  FamilyRecord& record = *announced;
  if ((help ? record.has_help : record.has_type) || record.line_count > 0) return take_line();
  (help ? record.has_help : record.has_type) = true;
  if (help) record.help = said;
  if (!help) record.type = type;
  if (book.current() != before) {
    if (!close_family(before)) return false;
    enter_family();
  }
  at = next;
  return true;
}

bool Pass::open_part(Part part) {
  FamilyRecord& record = book.family();
  if ((parts_of(record.type) & part_bit(part)) == 0 || !plan->is_plain()) return false;
  if (record.is_renamed) return false;
  const std::uint32_t from = heads.size();
  const std::string_view suffix = part_suffix(part);
  const std::string& identity = plan->plan().identity;
  const std::size_t bytes = record.name.size() + suffix.size();
  heads.reserve(from + bytes + 1 + identity.size() + kSlack);
  char* const to = heads.data() + from;
  char* behind = std::copy(record.name.begin(), record.name.end(), to);
  behind = std::copy(suffix.begin(), suffix.end(), behind);
  *behind++ = '{';
  std::copy(identity.begin(), identity.end(), behind);
  const std::string_view name(to, bytes);
  if (!(previous != nullptr ? claim_known(part, name) : book.claim(part, name))) return false;
  const auto whole = static_cast<std::uint32_t>(bytes + 1 + identity.size());
  heads.set_size(from + whole);
  head_of[static_cast<std::size_t>(part)] = {
      from, whole,
      part == Part::kBase ? record.name_hash : hash_bytes(name, plan->plan().hash_seed)};
  open = static_cast<std::uint8_t>(open | part_bit(part));
  return true;
}

void Pass::enter_family() {
  family = book.current();
  FamilyRecord& record = book.family();
  record.out_begin = store->out.size();
  if (record.is_renamed) note_served_names();
  begin_lines(rules_ || has_state_label(record));
}

void Pass::note_served_names() {
  const std::string& name = store->renamed[family] = served_metric_name(book.family().name);
  for (std::size_t part = 0; part < kPartCount; ++part) {
    served_[part] = name;
    served_[part] += part_suffix(static_cast<Part>(part));
  }
}

bool Pass::has_state_label(const FamilyRecord& record) const {
  const auto& has_it = plan->plan().has_state_label;
  return has_it && (has_it(record.name) || (record.is_renamed && has_it(served_[0])));
}

std::string_view Pass::served_name(const FamilyRecord& record, std::string_view sample) const {
  if (!record.is_renamed) return sample;
  const std::string_view suffix = sample.substr(record.name.size());
  std::size_t part = 0;
  while (part_suffix(static_cast<Part>(part)) != suffix) ++part;
  return served_[part];
}

void Pass::begin_lines(bool special) {
  is_special = special;
  removed = {};
  open = 0;
  heads.clear();
  seen.block = nullptr;
  seen.count = 0;
  fresh = true;
}

void Pass::note_removed(std::string_view value) {
  if (fresh) removed = value;
  if (removed != value) is_special = true;
}

void Pass::append(std::string_view piece) {
  if (store->out.size() + piece.size() + kSlack > store->out.capacity()) more_out(piece.size());
  std::memcpy(store->out.data() + store->out.size(), piece.data(), piece.size());
  store->out.set_size(store->out.size() + static_cast<std::uint32_t>(piece.size()));
}

void Pass::render_plainly(const SampleLine& line) {
  FamilyRecord& record = book.family();
  const Sample& sample = line.sample;
  if (!labels_ || labels_plan_ != plan->number()) {
    labels_.emplace(plan->plan());
    labels_plan_ = plan->number();
  }
  if (labels_->assign(line.labels, false)) is_special = true;
  note_removed(labels_->removed());
  if (fresh) record.head_end = static_cast<std::uint32_t>(at - text.data());
  fresh = false;
  scratch_.clear();
  labels_->append_head(scratch_, served_name(record, sample.name));
  LineRecord entry;
  entry.hash = series::hash_of(sample.name, line.labels, plan->plan().hash_seed);
  entry.at = static_cast<std::uint32_t>(at - text.data());
  entry.prefix = static_cast<std::uint32_t>(sample.value.data() - at);
  entry.out_at = store->out.size();
  entry.out_prefix = static_cast<std::uint32_t>(scratch_.size());
  store->lines.push_back(entry);
  scratch_ += sample.value;
  scratch_ += '\n';
  append(scratch_);
  if (sample.timestamp.empty()) return;
  const auto offset = [&](std::string_view piece) {
    return static_cast<std::uint32_t>(piece.data() + piece.size() - text.data());
  };
  store->stamps.push_back({offset(sample.value), offset(sample.timestamp)});
}

void Pass::read_line(const LineRecord& line, SampleLine& out) const {
  read_known_sample(store->line_at(line), out);
}

bool Pass::close_family(std::uint32_t index) {
  if (index == FamilyBook::kNone) return true;
  FamilyRecord& record = store->families[index];
  const LineRecord* const lines = store->lines.data() + record.line_begin;
  const std::uint32_t found = series::first_duplicate(
      record.line_count, table_, [&](std::uint32_t i) { return lines[i].hash; },
      [&](std::uint32_t a, std::uint32_t b) {
        read_line(lines[a], one_);
        read_line(lines[b], other_);
        return series::same(one_.sample.name, one_.labels, other_.sample.name, other_.labels);
      });
  if (found != series::kNone) {
    read_line(lines[found], one_);
    twice_ = static_cast<std::size_t>(one_.sample.name.data() - text.data());
    return false;
  }
  if (fresh) record.head_end = static_cast<std::uint32_t>(at - text.data());
  return finish_family(record);
}

bool Pass::finish_family(FamilyRecord& record) {
  record.kept = record.line_count;
  record.is_special = is_special;
  if (is_special && !render_special(record)) return false;
  record.out_end = store->out.size();
  record.removed = 0;
  if (record.line_count == 0 || removed.empty()) return true;
  std::vector<std::string>& known = store->removed;
  const auto same = std::find(known.begin() + 1, known.end(), removed);
  if (same == known.end()) {
    if (known.size() == kRemovedMax) {
      record.is_special = true;
      return true;
    }
    known.emplace_back(removed);
    record.removed = static_cast<std::uint8_t>(known.size() - 1);
  } else {
    record.removed = static_cast<std::uint8_t>(same - known.begin());
  }
  return true;
}

// The first illegal byte of a text is said before all else that is wrong with it.
Error Pass::error() {
  if (is_too_large_) {
    return {ErrorCode::kTooLarge, "output.relabel makes more than 2 GB of the body"};
  }
  const auto line_begin = static_cast<std::size_t>(at - text.data());
  if (auto illegal = illegal_byte(text, line_begin)) return *std::move(illegal);
  if (twice_) return duplicate_error(text, *twice_);
  return error_at(text, line_begin, *fault_);
}

}  // namespace bao_exporter

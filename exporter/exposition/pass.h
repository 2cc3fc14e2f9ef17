// One pass over one body: from bytes to lines, families and rendered text. The loops over plain
// lines are compiled for each instruction set (pass_loop.h); what they do not know comes here, to
// the grammar and the book of families, which decide alone what is accepted and what the error is.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bao_exporter/result.h"
#include "exposition/family_book.h"
#include "exposition/out_labels.h"
#include "exposition/part_store.h"
#include "exposition/plan_image.h"
#include "exposition/relabelled_family.h"
#include "exposition/series.h"

namespace bao_exporter {

// Bytes that may be read behind any place that a loop looks at, and written behind the output.
inline constexpr std::size_t kSlack = 128;

// A label of the plain line before, with what is known up to its end.
struct SeenLabel {
  std::uint32_t end = 0;      // in the label block, behind its closing quote
  std::uint32_t out_end = 0;  // in the rendered labels
  std::uint32_t id = 0;
  std::uint64_t sum = 0;    // of hashes
  std::uint64_t names = 0;  // bits of ids
  std::string_view removed;
  std::uint32_t has = 0;  // kQuantile, kLe
};

// The labels of the plain line before: the next line mostly begins with the same.
struct SeenLabels {
  const char* block = nullptr;  // behind '{'
  std::uint32_t out = 0;        // where they are rendered
  std::uint32_t count = 0;
  std::array<SeenLabel, 64> labels{};
};

// How the lines of a part of the current family begin once they are rendered.
struct Head {
  std::uint32_t at = 0;  // in Pass::heads
  std::uint32_t bytes = 0;
  std::uint64_t name_hash = 0;
};

struct Pass {
  Pass();
  void begin(PartStore& to, PlanImage& image);

  // The long way for the line at `at`: false when it has a fault, else `at` is behind it.
  [[nodiscard]] bool take_line();
  // The current family gets its first sample of that part; false: the long way shall say why not.
  [[nodiscard]] bool open_part(Part part);
  // HELP or TYPE at `at`, read already but for what the book says; false as take_line().
  [[nodiscard]] bool take_header(bool help, std::string_view name, std::string_view said,
                                 MetricType type, const char* next);
  // Ends the family: false when it has a series twice, or relabel rules make it too large.
  [[nodiscard]] bool close_family(std::uint32_t family);
  void note_removed(std::string_view value);
  void more_out(std::size_t bytes) { store->out.reserve(store->out.size() + bytes + kSlack); }

  // For a body that is compared with the one before. All of them leave everything as it is where
  // they say false.
  //
  void begin_steady(const PartStore& before);
  // The head of that family stands at `at`: it becomes the current one.
  [[nodiscard]] bool enter_known_family(const FamilyRecord& old);
  [[nodiscard]] bool begins_with(const char* old, std::uint32_t bytes) const {
    return bytes != 0 && static_cast<std::size_t>(end - at) >= bytes &&
           std::memcmp(at, old, bytes) == 0;
  }
  // That line, in whatever form its value is.
  [[nodiscard]] bool take_known_line(const LineRecord& old);
  [[nodiscard]] bool take_comment();
  // The first line of the next family stands at `at`.
  [[nodiscard]] bool next_begins() const;
  // Before and after a line that the poll before did not have.
  void note_lines();
  void note_new_line() { new_lines.push_back(store->lines.size() - 1); }
  // The line just noted began at `line`: which one it was in the poll before, of [l, to); or `to`.
  // Looks at so many that a family takes time for its lines only.
  [[nodiscard]] std::uint32_t find_ahead(const char* line, std::uint32_t l, std::uint32_t to);
  // False: a series came twice, or there is too much.
  [[nodiscard]] bool close_known_family();

  // Why the pass ended.
  [[nodiscard]] Error error();

  std::string_view text;
  const char* at = nullptr;
  const char* end = nullptr;
  const char* safe = nullptr;  // up to here loads may begin
  PartStore* store = nullptr;
  const PartStore* previous = nullptr;  // for steady loops
  PlanImage* plan = nullptr;
  FamilyBook book;
  std::uint32_t family = FamilyBook::kNone;  // that `open`, `heads` and `seen` are about
  std::uint8_t open = 0;                     // parts that have heads
  std::array<Head, kPartCount> head_of{};
  Pod<char> heads;
  SeenLabels seen;
  std::string_view removed;      // value of the removed label in the family's first sample
  bool is_special = false;       // the family: see FamilyRecord
  bool fresh = true;             // no line of the family was rendered yet
  bool is_changed = false;       // the family has lost or got lines since the poll before
  Pod<std::uint32_t> new_lines;  // of the family: that the poll before did not have
  // Of what relabel rules may make: offsets have 32 bits, and what no rule touches has to fit, too.
  std::size_t rules_out_max = 0x80000000;

 private:
  void enter_family();
  void begin_lines(bool special);
  void note_served_names();
  [[nodiscard]] bool has_state_label(const FamilyRecord& record) const;
  // What a sample of the family is called where it is served.
  [[nodiscard]] std::string_view served_name(const FamilyRecord& record,
                                             std::string_view sample) const;
  [[nodiscard]] bool claim_known(Part part, std::string_view name);
  [[nodiscard]] bool has_new_twice(const FamilyRecord& record);
  [[nodiscard]] bool finish_family(FamilyRecord& record);
  void render_plainly(const SampleLine& line);
  void begin_rules();
  [[nodiscard]] bool render_special(FamilyRecord& record);
  [[nodiscard]] bool render_by_rules(FamilyRecord& record, const std::vector<bool>& kept,
                                     bool state_label);
  void find_lines(const FamilyRecord& record, bool merged);
  [[nodiscard]] std::vector<bool> lines_to_keep(const FamilyRecord& record, bool state_label);
  [[nodiscard]] bool may_collide(const FamilyRecord& record, bool state_label);
  void append(std::string_view piece);
  void read_line(const LineRecord& line, SampleLine& out) const;

  std::array<std::string, kPartCount> served_;  // where the family is renamed: names of its parts
  SampleLine line_;                             // that is being taken
  SampleLine one_;                              // of lines that were
  SampleLine other_;
  std::string scratch_;
  std::optional<OutLabels> labels_;
  std::uint64_t labels_plan_ = 0;
  std::optional<RelabelledFamily> rules_;  // of the plan, if it has any
  std::uint64_t rules_plan_ = 0;
  std::uint32_t known_ = 0;   // families of the poll before that were entered
  std::uint32_t claims_ = 0;  // looked through all families for
  std::uint32_t looks_ = 0;   // that find_ahead() may still take, of the family
  std::vector<std::uint32_t> table_;
  std::optional<Fault> fault_;        // of the line at `at`
  std::optional<std::size_t> twice_;  // or the line there was given before
  bool is_too_large_ = false;         // or so is what is rendered
};

}  // namespace bao_exporter

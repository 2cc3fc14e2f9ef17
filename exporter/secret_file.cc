#include "bao_exporter/secret_file.h"

#include <chrono>
#include <cstdlib>
#include <utility>

namespace bao_exporter {

namespace {

// Times of files have the grain of their file system (a tick of the kernel, a second, or two). Of
// two changes within one grain the second cannot be seen, when size and inode are the same again.
constexpr std::int64_t kGrainNs = 2'000'000'000;

// A file that is replaced while it is read is read again, so many times at most.
constexpr int kReadsMax = 16;

bool is_fresh(const FileSight& sight) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::int64_t now_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  return std::abs(now_ns - sight.changed_ns) < kGrainNs;
}

}  // namespace

SecretFile::SecretFile(std::string path, SecretFileRules rules)
    : path_(std::move(path)), rules_(rules) {}

// Notes how it looks now. True: as at the last look.
bool SecretFile::settles(const FileSight& now) { return std::exchange(last_, now) == now; }

bool SecretFile::is_news(const FileSight& now) const {
  return read_.may_hide_a_change || read_.sight != now;
}

SecretFile::Attempt SecretFile::attempt() const {
  for (int reads = 1;; ++reads) {
    // Before it is opened: a change while it is read is then seen afterwards.
    const FileSight sight = FileSight::of(path_);
    auto secret = Secret::load(path_, rules_);
    // A swap of links can lead to a folder that is already gone.
    const bool replaced = !secret.ok() && FileSight::of(path_) != sight;
    if (!replaced || reads == kReadsMax) return {sight, std::move(secret)};
  }
}

SecretFile::Found SecretFile::conclude(Attempt attempt) {
  read_ = {attempt.sight, is_fresh(attempt.sight)};
  if (!attempt.secret.ok()) {
    problem_ = attempt.secret.error();
    return Found::kBad;
  }
  problem_.reset();
  const auto& secret = attempt.secret.value();
  if (secret_ != nullptr && secret_->reveal() == secret->reveal()) return Found::kSame;
  secret_ = secret;
  ++generation_;
  return Found::kNew;
}

SecretFile::Found SecretFile::conclude_settled(const FileSight& settled) {
  Attempt now = attempt();
  // Somebody has begun to write: what was read may be half of it.
  if (now.sight != settled || !settles(FileSight::of(path_))) return Found::kSame;
  const bool told = problem_.has_value() && read_.sight == settled && !now.secret.ok() &&
                    now.secret.error().detail == problem_->detail;
  const Found found = conclude(std::move(now));
  return told ? Found::kSame : found;
}

SecretFile::Found SecretFile::read() { return conclude(attempt()); }

SecretFile::Found SecretFile::look() {
  const FileSight now = FileSight::of(path_);
  if (!settles(now) || !is_news(now)) return Found::kSame;
  return conclude_settled(now);
}

SecretFile::Found SecretFile::look_at_once() {
  const FileSight now = FileSight::of(path_);
  const bool settled = settles(now);
  if (!is_news(now)) return Found::kSame;
  Attempt read = attempt();
  if (read.secret.ok()) return conclude(std::move(read));
  return settled ? conclude_settled(now) : Found::kSame;
}

}  // namespace bao_exporter

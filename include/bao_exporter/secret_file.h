// One secret in a file, read anew when the file changes: an upstream token, what a login needs, a
// key. A plain rewrite, a rename over it and the swap of a Kubernetes `..data` link are all seen.
//
// Contract: what was read last stays in use while the file is missing or not fit; it is read
// through one descriptor, so it is the old one or the new one, never parts of both. Threads: one at
// a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "bao_exporter/file_watch.h"
#include "bao_exporter/secret.h"

namespace bao_exporter {

class SecretFile {
 public:
  SecretFile(std::string path, SecretFileRules rules);

  enum class Found : std::uint8_t {
    kSame,  // nothing new (also: the same secret in a new file)
    kNew,   // another secret: secret() and generation() have changed
    kBad,   // it cannot be used: problem() says why; look() tells it once for each change
  };
  // Reads the file when it looks other than at the last read and has stayed so since the last look:
  // one that is being written is not read half, one that is missing for a moment is not missed.
  [[nodiscard]] Found look();
  // Reads it when it looks other than at the last read, without waiting for it to settle. One that
  // cannot be used is left to the next look, which tells it if it stays.
  [[nodiscard]] Found look_at_once();
  // Reads it whatever it looks like, and says kBad each time that it cannot be used.
  [[nodiscard]] Found read();

  [[nodiscard]] const std::string& path() const { return path_; }
  // What was last read and good; null: nothing was.
  [[nodiscard]] const std::shared_ptr<const Secret>& secret() const { return secret_; }
  [[nodiscard]] std::uint64_t generation() const { return generation_; }  // secrets so far
  // Why the file as it is now cannot be used (kTokenUnreadable); nullopt: it can.
  [[nodiscard]] const std::optional<Error>& problem() const { return problem_; }

 private:
  // As the file looked before it was read; nullopt: it was not.
  struct Seen {
    std::optional<FileSight> sight;
    bool may_hide_a_change = false;
  };
  struct Attempt {
    FileSight sight;  // before it was opened
    Result<std::shared_ptr<const Secret>> secret;
  };
  [[nodiscard]] bool settles(const FileSight& now);
  [[nodiscard]] bool is_news(const FileSight& now) const;
  [[nodiscard]] Attempt attempt() const;
  [[nodiscard]] Found conclude(Attempt attempt);
  [[nodiscard]] Found conclude_settled(const FileSight& settled);

  std::string path_;
  SecretFileRules rules_;
  std::shared_ptr<const Secret> secret_;
  std::uint64_t generation_ = 0;
  std::optional<Error> problem_;
  Seen read_;
  std::optional<FileSight> last_;  // at the last look
};

}  // namespace bao_exporter

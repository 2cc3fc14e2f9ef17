// A token or key in memory.
//
// Contract: a Secret cannot be copied, printed, formatted or compared by ==. Its bytes live in
// pages of their own that are locked (as far as the limits of the process allow), kept out of core
// dumps and wiped before they are given back. Immutable after load, so any thread may read it.
// To audit who reads one: grep for `reveal`.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "bao_exporter/result.h"

namespace bao_exporter {

struct SecretFileRules {
  bool allow_group_read = false;  // A file readable by its group is accepted (fsGroup mounts).
};

class Secret {
 public:
  static constexpr std::size_t kBytesMax = 4096;

  // Opens `path` once and judges that descriptor: a regular file, owned by root or by us, not
  // accessible to others (nor to its group unless allowed), 1..4096 bytes, no white space or
  // control characters inside. One trailing newline is stripped.
  // Errors: kTokenUnreadable, with the path, the cause and the remedy; never with content.
  static Result<std::shared_ptr<const Secret>> load(const std::string& path,
                                                    const SecretFileRules& rules);

  // As load, but the text may have several lines (a list of accepted tokens).
  static Result<std::shared_ptr<const Secret>> load_lines(const std::string& path,
                                                          const SecretFileRules& rules);

  // The parts one after the other: the body of a login from what files hold. At most
  // kJoinedBytesMax.
  static constexpr std::size_t kJoinedBytesMax = std::size_t{16} << 10;
  static std::shared_ptr<const Secret> join(std::initializer_list<std::string_view> parts);

  ~Secret();
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  // The bytes. The view must not outlive the Secret and must not be copied into a std::string.
  [[nodiscard]] std::string_view reveal() const noexcept { return {data_ + prefix_, size_}; }

  // "Authorization: Bearer <token>", NUL terminated, in the same locked pages.
  [[nodiscard]] const char* reveal_bearer_header() const noexcept { return data_; }

 private:
  Secret() = default;
  static Result<std::shared_ptr<const Secret>> load_checked(const std::string& path,
                                                            const SecretFileRules& rules,
                                                            bool many_lines);
  char* data_ = nullptr;    // prefix, bytes, NUL
  std::size_t prefix_ = 0;  // bytes of "Authorization: Bearer "
  std::size_t size_ = 0;    // bytes of the secret
  std::size_t mapped_ = 0;
};

}  // namespace bao_exporter

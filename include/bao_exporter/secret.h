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
  static constexpr std::size_t kLinesBytesMax = std::size_t{64} << 10;

  // Opens `path` once and judges that descriptor: a regular file, owned by root or by us, not
  // accessible to others (nor to its group unless allowed), 1..4096 bytes, no white space or
  // control characters inside. One trailing newline is stripped.
  // Errors: kTokenUnreadable, with the path, the cause and the remedy; never with content.
  static Result<std::shared_ptr<const Secret>> load(const std::string& path,
                                                    const SecretFileRules& rules);

  // As load, but the text may have several lines (a list of accepted tokens, a private key) and
  // 1..65536 bytes.
  static Result<std::shared_ptr<const Secret>> load_lines(const std::string& path,
                                                          const SecretFileRules& rules);

  // The same of the file `name` in a folder that is open; errors name `path`.
  static Result<std::shared_ptr<const Secret>> load_lines_at(int folder, const std::string& name,
                                                             const std::string& path,
                                                             const SecretFileRules& rules);

  // The parts one after the other: the body of a login from what files hold. At most
  // kJoinedBytesMax together: more is a bug of the caller, and aborts, as does no memory at all.
  static constexpr std::size_t kJoinedBytesMax = std::size_t{16} << 10;
  static std::shared_ptr<const Secret> join(std::initializer_list<std::string_view> parts);

  // Tries it with one page. False: secrets are used all the same, but may come into swap
  // (RLIMIT_MEMLOCK).
  [[nodiscard]] static bool locking_works();

  ~Secret();
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  // The bytes. The view must not outlive the Secret and must not be copied into a std::string.
  [[nodiscard]] std::string_view reveal() const noexcept { return {data_ + prefix_, size_}; }

  // "Authorization: Bearer <token>", NUL terminated, in the same locked pages.
  [[nodiscard]] const char* reveal_bearer_header() const noexcept { return data_; }

 private:
  struct Limits;
  struct Place;
  Secret() = default;
  static Result<std::shared_ptr<const Secret>> load_checked(const Place& place,
                                                            const SecretFileRules& rules,
                                                            const Limits& limits);
  // With the prefix, and room for a secret of that many bytes and its NUL. Null with errno: no
  // memory.
  static std::shared_ptr<Secret> with_room(std::size_t bytes);
  [[nodiscard]] char* bytes() { return data_ + prefix_; }
  void end_after(std::size_t bytes);

  char* data_ = nullptr;    // prefix, bytes, NUL
  std::size_t prefix_ = 0;  // bytes of "Authorization: Bearer "
  std::size_t size_ = 0;    // bytes of the secret
  std::size_t mapped_ = 0;
};

}  // namespace bao_exporter

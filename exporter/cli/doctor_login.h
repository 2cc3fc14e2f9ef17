// The doctor's tokens: a file's is read, a login method logs in once; what was made that way is
// revoked at the end.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bao_exporter/doctor.h"
#include "bao_exporter/slot.h"
#include "bao_exporter/token.h"
#include "bao_exporter/transport.h"
#include "materials.h"
#include "token_request.h"

namespace bao_exporter::cli {

class DoctorTokens {
 public:
  // The references must outlive it.
  DoctorTokens(const Config& config, const Trusts& trusts, Transport& transport);

  // Whoever got a token by a login gives it back with revoke().
  // One after the other, each within poll.timeout for each node. Errors: kTokenUnreadable, of a
  // token_file.
  [[nodiscard]] std::optional<Error> get();

  // Null: the cluster needs none.
  [[nodiscard]] std::shared_ptr<const Slot<TokenInForce>> slot(const std::string& cluster) const;
  // Absent: it does not log in.
  [[nodiscard]] std::optional<LoginEvidence> login(const std::string& cluster) const;
  // True when the token of that login works no more.
  [[nodiscard]] bool revoke(const std::string& cluster);

 private:
  struct Revocation {
    TokenRequest what;
    AskedNode node;
  };
  struct Known {
    std::shared_ptr<Slot<TokenInForce>> slot;
    std::optional<LoginEvidence> login;
    std::optional<Revocation> revocation;
  };

  void log_in(const ClusterConfig& cluster, Known& known);
  [[nodiscard]] Answer ask(TokenRequest what, const AskedNode& node);

  const Config& config_;
  const Trusts& trusts_;
  Transport& transport_;
  std::map<std::string, Known> known_;
};

}  // namespace bao_exporter::cli

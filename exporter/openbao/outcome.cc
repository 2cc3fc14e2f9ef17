#include "bao_exporter/outcome.h"

namespace bao_exporter {

namespace {

bool reached(const std::optional<Answer>& answer) { return answer && answer->answered(); }

void note_certificate(Outcome& outcome, const std::optional<Answer>& answer) {
  if (answer && answer->certificate_not_after) {
    outcome.certificate_not_after = answer->certificate_not_after;
  }
}

void refuse(Outcome& outcome, Error error) {
  outcome.reason = error.code;
  outcome.detail = std::move(error.detail);
}

// Why health alone says that there are no samples: the node was not asked for any.
Error not_asked(const Outcome& outcome, const Answer& health) {
  if (!outcome.health) return read_health(health).error();
  switch (outcome.role) {
    case Role::kSealed:
      return Error{ErrorCode::kSealed, "the node is sealed"};
    case Role::kUninitialized:
      return Error{ErrorCode::kUninitialized, "the node is not initialized"};
    default:
      return Error{ErrorCode::kOk, {}};  // A standby, of which the profile wants nothing.
  }
}

// Why there is no body to parse, or nullopt.
std::optional<Error> missing_body(const PollAnswers& answers, const Outcome& outcome) {
  if (!answers.metrics) return not_asked(outcome, *answers.health);
  std::optional<Error> error = judge_metrics(*answers.metrics);
  // Both answer 503 "Vault is sealed"; health knows better.
  if (error && error->code == ErrorCode::kSealed && outcome.role == Role::kUninitialized) {
    error = Error{ErrorCode::kUninitialized, "the node is not initialized"};
  }
  return error;
}

void settle_role(Outcome& outcome, const PollAnswers& answers, const BodyFacts& facts) {
  if (outcome.health) {
    outcome.role = outcome.health->role();
    outcome.role_source = RoleSource::kHealth;
  } else if (facts.core_active == false && facts.core_unsealed == false) {
    // It was unsealed once. Without core_active it may as well be uninitialized: not told.
    outcome.role = Role::kSealed;
    outcome.role_source = RoleSource::kSealStatus;
  } else if (facts.core_active) {
    outcome.role = *facts.core_active ? Role::kActive : Role::kStandby;
    outcome.role_source = RoleSource::kCoreActive;
  } else if (!reached(answers.health) && !reached(answers.metrics)) {
    outcome.role = Role::kUnreachable;
  }
  if (outcome.health && facts.core_active) {
    outcome.disagreement = (outcome.role == Role::kActive) != *facts.core_active;
  }
}

// A body that says "active" under a node that is not, or the other way round.
bool contradicts(Outcome& outcome, const BodyFacts& facts, bool second_look) {
  if (!outcome.disagreement) return false;
  if (!second_look) {
    outcome.ask_again = true;
    return true;
  }
  if (!*facts.core_active) return false;  // Served, and reported as a disagreement.
  refuse(outcome, Error{ErrorCode::kIdentityMismatch,
                        "health says " + std::string(role_name(outcome.role)) +
                            ", the body says active, twice: somebody else's body"});
  outcome.claims_active = false;  // The claim was not this node's.
  return true;
}

RelabelPlan plan_of(const OutcomeOptions& options, Role role, const std::string& prefix) {
  std::string identity = options.identity;
  if (options.role_on_samples) {
    identity += "," + render_identity({{"node_role", role_name(role)}});
  }
  RelabelPlan plan =
      openbao_relabel_plan(std::move(identity), role, options.leader_only_from_active, prefix);
  plan.hash_seed = options.hash_seed;
  plan.relabel = options.relabel;
  return plan;
}

}  // namespace

Outcome judge_poll(PollAnswers answers, const OutcomeOptions& options) {
  Outcome outcome;
  note_certificate(outcome, answers.health);
  note_certificate(outcome, answers.metrics);
  if (answers.health) {
    if (auto health = read_health(*answers.health); health.ok()) {
      outcome.health = std::move(health).value();
    }
  }
  if (answers.leader) outcome.active_time = read_active_time(*answers.leader);

  settle_role(outcome, answers, {});
  outcome.claims_active = outcome.role == Role::kActive;
  if (auto error = missing_body(answers, outcome)) {
    refuse(outcome, *std::move(error));
    return outcome;
  }
  PartBuilder parts;
  PartBuilder& builder = options.parts == nullptr ? parts : *options.parts;
  const Role expected = outcome.health ? outcome.role : options.expected_role;
  auto built = builder.build(std::move(answers.metrics->body), options.limits,
                             plan_of(options, expected, options.expected_prefix), options.previous);
  if (!built.ok()) {
    refuse(outcome, built.error());
    return outcome;
  }
  outcome.facts = read_body_facts(built.value()->excerpt(tells_facts));
  const BodyFacts& facts = outcome.facts;
  settle_role(outcome, answers, facts);
  outcome.claims_active = outcome.role == Role::kActive || facts.core_active.value_or(false);
  if (contradicts(outcome, facts, options.second_look)) return outcome;
  outcome.reason = ErrorCode::kOk;
  if (options.active_only && outcome.role != Role::kActive) return outcome;

  auto part =
      builder.with_plan(std::move(built).value(), plan_of(options, outcome.role, facts.prefix));
  if (part.ok()) {
    outcome.part = std::move(part).value();
  } else {
    refuse(outcome, part.error());
  }
  return outcome;
}

}  // namespace bao_exporter

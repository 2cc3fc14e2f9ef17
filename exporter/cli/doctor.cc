// `bao-exporter doctor`: polls everything once as the exporter would, looks at the certificates,
// asks what the tokens may do, and prints what that means.
#include "bao_exporter/doctor.h"

#include <iostream>
#include <random>

#include "bao_exporter/log.h"
#include "bao_exporter/login.h"
#include "cli/certctl_round.h"
#include "cli/commands.h"
#include "cli/doctor_login.h"
#include "cli/doctor_round.h"
#include "cli/transport_choice.h"
#include "materials.h"
#include "token_request.h"

namespace bao_exporter::cli {

namespace {

// Everything of one run. Targets of the plan and nodes of the evidence are in one order.
class Doctor {
 public:
  Doctor(const Config& config, const Trusts& trusts, DoctorTokens& tokens, Transport& transport)
      : config_(config),
        trusts_(trusts),
        tokens_(tokens),
        targets_(equip(config, trusts,
                       [&](const std::string& cluster) { return tokens.slot(cluster); })),
        transport_(transport) {}

  // `certctls`: what they were asked already.
  [[nodiscard]] Evidence gather(std::vector<CertctlEvidence> certctls) {
    poll();
    evidence_.certctls = std::move(certctls);
    probe();
    ask_capabilities();
    revoke();
    return std::move(evidence_);
  }

 private:
  void poll();
  [[nodiscard]] NodeEvidence node_evidence(std::size_t target, const PollNotes& notes,
                                           const NodeState& state) const;
  void probe();
  void ask_capabilities();
  void revoke();
  [[nodiscard]] std::optional<Request> capability_request(std::size_t cluster,
                                                          std::size_t first) const;

  const Config& config_;
  const Trusts& trusts_;
  DoctorTokens& tokens_;
  std::vector<PollTarget> targets_;
  Transport& transport_;
  Evidence evidence_;
};

std::string source_of(const AuthConfig& auth) {
  return auth.logs_in() ? "the token of the login" : auth.token_file;
}

AddressEvidence address_evidence(const Url& url, const PollTarget& target,
                                 const AnswerNotes& notes) {
  AddressEvidence address;
  address.url = url;
  address.verified_name = target.server_name.empty() ? url.host : target.server_name;
  address.failure = notes.failure;
  address.connected_to = notes.connected_to;
  return address;
}

NodeEvidence Doctor::node_evidence(std::size_t target, const PollNotes& notes,
                                   const NodeState& state) const {
  const PollTarget& what = targets_[target];
  NodeEvidence node;
  node.state = state;
  node.health_problem = notes.health_problem;
  node.poll_began = notes.began;
  node.poll_ended = notes.ended;
  if (notes.health) node.api = address_evidence(what.api, what, *notes.health);
  if (notes.metrics && !what.same_origin()) {
    node.metrics = address_evidence(what.metrics, what, *notes.metrics);
  }
  return node;
}

void Doctor::poll() {
  NodeBook book(config_, std::random_device()());
  DoctorRound round(book, {targets_, config_.poll, config_.limits.body_bytes_max, 1}, transport_);
  round.run();
  evidence_.poll = config_.poll;
  std::size_t target = 0;
  for (const ClusterConfig& cluster : config_.clusters) {
    ClusterEvidence& mine = evidence_.clusters.emplace_back();
    mine.name = cluster.cluster;
    mine.ca_file = cluster.ca_file;
    mine.is_demo = cluster.profile == Profile::kDemo;
    mine.refuse_excess = cluster.auth.refuse_excess;
    mine.login = tokens_.login(cluster.cluster);
    mine.expected_nodes = cluster.expected_nodes > 0 ? cluster.expected_nodes
                                                     : static_cast<int>(cluster.nodes.size());
    for (const NodeConfig& config : cluster.nodes) {
      NodeEvidence node = node_evidence(target, round.notes()[target], book.node(target));
      node.name = config.name;
      if (targets_[target].token != nullptr) node.token_from = source_of(cluster.auth);
      mine.nodes.push_back(std::move(node));
      ++target;
    }
  }
  evidence_.now = static_cast<std::int64_t>(unix_seconds(WallClock::now()));
}

// The certificates of all addresses to which a connection came about.
void Doctor::probe() {
  std::vector<TlsProbe> probes;
  std::vector<AddressEvidence*> whose;
  Milliseconds patience = config_.poll.timeout;
  const auto want = [&](AddressEvidence& where, const std::shared_ptr<const TlsTrust>& trust) {
    if (where.connected_to.empty() || where.url.scheme != "https") return;
    probes.push_back({where.connected_to, where.url.port, where.verified_name, trust});
    whose.push_back(&where);
  };
  std::size_t target = 0;
  for (ClusterEvidence& cluster : evidence_.clusters) {
    for (NodeEvidence& node : cluster.nodes) {
      for (auto* address : {&node.api, &node.metrics}) {
        if (*address) want(**address, targets_[target].trust);
      }
      ++target;
    }
  }
  for (CertctlEvidence& server : evidence_.certctls) {
    want(server.address, trusts_.at(server.config.name));
    patience = std::max(patience, server.config.timeout);
  }
  std::vector<TlsFindings> findings = probe_tls(probes, Clock::now() + patience);
  for (std::size_t i = 0; i < whose.size(); ++i) whose[i]->tls = std::move(findings[i]);
}

// To the active node of the cluster, else to the first that can answer: once, since each question
// is an entry in the node's audit log.
std::optional<Request> Doctor::capability_request(std::size_t cluster, std::size_t first) const {
  const std::vector<NodeEvidence>& nodes = evidence_.clusters[cluster].nodes;
  const auto slot = tokens_.slot(evidence_.clusters[cluster].name);
  const auto token = slot == nullptr ? nullptr : slot->get();
  bool sent = false;
  std::optional<std::size_t> whom;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    sent = sent || !nodes[i].token_from.empty();
    const auto& health = nodes[i].state.latest.health;
    if (!nodes[i].api || !health || !health->initialized || health->sealed) continue;
    if (!whom || (!health->standby && nodes[*whom].state.latest.health->standby)) whom = i;
  }
  if (!sent || !whom || token == nullptr || token->secret == nullptr) return std::nullopt;
  const PollTarget& target = targets_[first + *whom];
  Request request = to_request(check_request(token->secret),
                               {*whom, target.api, target.server_name, target.trust},
                               Clock::now() + config_.poll.timeout);
  request.channel = first + *whom;
  request.secret_answer = false;  // by the connection that its poll has left
  return request;
}

void Doctor::ask_capabilities() {
  std::size_t first = 0;
  std::size_t open = 0;
  for (std::size_t i = 0; i < evidence_.clusters.size(); ++i) {
    ClusterEvidence& cluster = evidence_.clusters[i];
    if (auto request = capability_request(i, first)) {
      ++open;
      transport_.start(*std::move(request), [&cluster, &open](const Answer& answer) {
        cluster.capabilities = read_capabilities(answer);
        --open;
      });
    }
    first += cluster.nodes.size();
  }
  const TimePoint limit = Clock::now() + config_.poll.timeout;
  while (open > 0) transport_.run_once(limit);
}

// What was made for this run.
void Doctor::revoke() {
  for (ClusterEvidence& cluster : evidence_.clusters) {
    if (cluster.login) cluster.login->revoked = tokens_.revoke(cluster.name);
  }
}

}  // namespace

int doctor(const Config& config, bool json) {
  harden_process();
  log::init(LogLevel::kError, config.log.format);  // what the polls would log stands in the lines
  const auto refuse = [](const Error& error) {
    std::cerr << error.detail << '\n';
    return kUsage;
  };
  const auto trusts = load_trusts(config);
  if (!trusts.ok()) return refuse(trusts.error());
  const auto transport = make_transport();
  DoctorTokens tokens(config, trusts.value(), *transport);
  if (const auto error = tokens.get()) return refuse(*error);
  auto certctls = ask_certctls(config, trusts.value(), *transport);
  if (!certctls.ok()) return refuse(certctls.error());
  const DoctorReport report = examine(
      Doctor(config, trusts.value(), tokens, *transport).gather(std::move(certctls).value()));
  std::cout << (json ? doctor_json(report) : doctor_text(report));
  return report.result() == CheckResult::kFail ? kFailed : kGood;
}

}  // namespace bao_exporter::cli

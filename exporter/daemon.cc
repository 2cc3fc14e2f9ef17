#include "bao_exporter/daemon.h"

#include <random>
#include <set>
#include <system_error>
#include <thread>

#include "bao_exporter/certctl_keeper.h"
#include "bao_exporter/file_watch.h"
#include "bao_exporter/listener.h"
#include "bao_exporter/log.h"
#include "bao_exporter/publisher.h"
#include "bao_exporter/scrape_service.h"
#include "bao_exporter/sd_notify.h"
#include "bao_exporter/token_keeper.h"
#include "build_info.h"
#include "materials.h"

namespace bao_exporter {

namespace {

std::uint64_t random_seed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

// Those of the tokens and of certctl's keys are watched by their keepers, but where a bad one is
// why a reload was refused.
std::vector<std::string> files_of(const ConfigOutcome& outcome, bool with_tokens = false) {
  std::set<std::string> of_tokens;
  for (const ClusterConfig& cluster : outcome.config.clusters) {
    const AuthConfig& auth = cluster.auth;
    of_tokens.insert({auth.token_file, auth.jwt_file, auth.role_id_file, auth.secret_id_file});
  }
  for (const CertctlConfig& certctl : outcome.config.certctls) {
    of_tokens.insert(certctl.api_key_file);
  }
  std::vector<std::string> files = {outcome.config.file};
  for (const NamedFile& file : outcome.files) {
    if (with_tokens || !of_tokens.contains(file.path)) files.push_back(file.path);
  }
  return files;
}

// What the listener was started with and cannot change while it runs; empty: nothing differs.
std::string needs_restart(const ListenerConfig& now, const ListenerConfig& wanted) {
  if (now.addresses != wanted.addresses) return "listener.address";
  if (now.connections_max != wanted.connections_max) return "listener.connections_max";
  if (now.request_timeout != wanted.request_timeout) return "listener.request_timeout";
  if (now.admin_address != wanted.admin_address) return "listener.admin_address";
  if (now.plain_http() != wanted.plain_http()) return "listener.tls_cert_file";
  return {};
}

PortFacts facts_of(const Config& config, const std::vector<std::string>& bound) {
  PortFacts facts;
  facts.advertised = advertised_by(config.listener, bound);
  for (const ClusterConfig& cluster : config.clusters) {
    for (const NodeConfig& node : cluster.nodes) {
      facts.nodes.insert(cluster.cluster + "/" + node.name);
    }
  }
  for (const CertctlConfig& certctl : config.certctls) facts.certctls.insert(certctl.name);
  return facts;
}

// What differs, in the log's words: the tables of the configuration, and what files hold.
class Changes {
 public:
  Changes(const Config& a, const Config& b) {
    note("listener", a.listener != b.listener);
    note("poll", a.poll != b.poll);
    note("limits", a.limits != b.limits);
    note("output", a.output != b.output);
    note("log", a.log != b.log);
    note("openbao", a.clusters != b.clusters);
    note("certctl", a.certctls != b.certctls);
  }
  void note(std::string_view what, bool changed) {
    if (!changed) return;
    if (!words_.empty()) words_ += ',';
    words_ += what;
  }
  [[nodiscard]] std::string words() const { return words_.empty() ? "nothing" : words_; }

 private:
  std::string words_;
};

bool same_polling(const Config& a, const Config& b) {
  return a.poll == b.poll && a.limits == b.limits && a.output == b.output &&
         a.clusters == b.clusters && a.certctls == b.certctls;
}

}  // namespace

// Members are destroyed from the last to the first: the port, then the threads, then what they use.
struct Daemon::World {
  World(ConfigOutcome outcome, ConfigLoader config_loader)
      : config(std::move(outcome.config)),
        loader(std::move(config_loader)),
        keeper(metrics),
        certctl_keeper(metrics, random_seed()),
        publisher(config, random_seed(), snapshots, metrics),
        service(snapshots, tokens, facts, metrics) {
    watch.watch({config.file});
    service.on_gzip_asked([this] { publisher.gzip_was_asked(); });
  }

  [[nodiscard]] PollPlan plan() const {
    const auto slot = [this](const std::string& cluster) { return keeper.slot(cluster); };
    return {equip(config, trusts, slot), config.poll, config.limits.body_bytes_max, generation};
  }
  [[nodiscard]] std::optional<Error> open();
  void start_threads(const TransportMaker& make_transport);
  [[nodiscard]] Result<std::string> take(const ConfigOutcome& outcome);
  void note_certificate();
  void note_facts(const std::vector<std::string>& bound) {
    facts.set(std::make_shared<const PortFacts>(facts_of(config, bound)));
  }
  void log_problems(const ConfigOutcome& outcome);

  Config config;
  ConfigLoader loader;
  std::uint64_t generation = 1;
  OwnMetrics metrics;
  Slot<Snapshot> snapshots;
  Slot<ScrapeTokens> tokens;
  Slot<PortFacts> facts;
  Trusts trusts;
  FileWatch watch;
  TokenKeeper keeper;
  CertctlKeeper certctl_keeper;
  Publisher publisher;
  ScrapeService service;
  std::unique_ptr<Transport> transport;
  std::unique_ptr<Poller> poller;
  std::jthread build_thread;
  std::jthread poll_thread;
  std::jthread keeper_thread;
  std::jthread certctl_thread;
  std::unique_ptr<Listener> listener;
};

std::optional<Error> Daemon::World::open() {
  auto scrape_tokens = load_scrape_tokens(config.listener);
  if (!scrape_tokens.ok()) return scrape_tokens.error();
  tokens.set(scrape_tokens.value());
  auto loaded = load_trusts(config);
  if (!loaded.ok()) return loaded.error();
  trusts = std::move(loaded).value();
  keeper.replace(config, trusts);
  certctl_keeper.replace(config, trusts);
  note_facts(config.listener.addresses);
  auto started = Listener::start(
      config.listener,
      [this](const HttpRequest& request) { return service.answer(request, Clock::now()); },
      [this] { metrics.note_auth_failure("client_name"); });
  if (!started.ok()) return started.error();
  listener = std::move(started).value();
  metrics.connect([port = listener.get()] { return port->counts(); });
  note_facts(listener->addresses());
  note_certificate();
  metrics.note_reload(true, WallClock::now());
  return std::nullopt;
}

void Daemon::World::start_threads(const TransportMaker& make_transport) {
  transport = make_transport();
  poller = std::make_unique<Poller>(plan(), *transport, publisher, metrics.poll_loop());
  publisher.on_ask_again([this](std::uint64_t asked, const std::vector<std::size_t>& targets) {
    poller->ask_again(asked, targets);
  });
  publisher.connect(keeper);
  keeper.connect({[this](Request request, Transport::OnDone on_done) {
                    poller->send(std::move(request), std::move(on_done));
                  },
                  [this](const std::string& cluster) {
                    poller->wake_up();  // polls may wait for it
                    publisher.token_changed(cluster);
                  }});
  certctl_keeper.connect(
      {[this](Request request, Transport::OnDone on_done) {
         poller->send(std::move(request), std::move(on_done));
       },
       [this](CertctlViews views) { publisher.note_certctl(std::move(views)); }});
  metrics.poll_loop().beat(Clock::now());
  metrics.build_loop().beat(Clock::now());
  build_thread = std::jthread([this](const std::stop_token& stop) { publisher.run(stop); });
  poll_thread = std::jthread([this](const std::stop_token& stop) { poller->run(stop); });
  keeper_thread = std::jthread([this](const std::stop_token& stop) { keeper.run(stop); });
  certctl_thread = std::jthread([this](const std::stop_token& stop) { certctl_keeper.run(stop); });
}

void Daemon::World::note_certificate() {
  if (const auto end = listener->certificate_not_after()) metrics.note_certificate_end(*end);
}

void Daemon::World::log_problems(const ConfigOutcome& outcome) {
  for (const ConfigProblem& problem : outcome.problems) {
    log::error("configuration", {{"problem", problem.to_string()}});
  }
}

// Puts the new world in the place of the old one, and says what changed; or why not, and leaves
// everything.
Result<std::string> Daemon::World::take(const ConfigOutcome& outcome) {
  const Config& wanted = outcome.config;
  if (const std::string key = needs_restart(config.listener, wanted.listener); !key.empty()) {
    return Error{ErrorCode::kConfig,
                 wanted.file + ": " + key + " changed: restart required, nothing was changed"};
  }
  auto scrape_tokens = load_scrape_tokens(wanted.listener);
  if (!scrape_tokens.ok()) return scrape_tokens.error();
  auto loaded = load_trusts(wanted);
  if (!loaded.ok()) return loaded.error();
  // Whoever is let in without a token has shown a certificate, also while this changes: tokens are
  // asked for before certificates are not, and the other way round.
  const auto tokens_before = tokens.get();
  if (tokens_before->lets_everybody_in()) tokens.set(scrape_tokens.value());
  const auto new_tls = listener->replace_tls(wanted.listener);
  if (!new_tls.ok()) {
    tokens.set(tokens_before);
    return new_tls.error();
  }
  listener->replace_limits(wanted.listener);
  Trusts wanted_trusts = std::move(loaded).value();
  const bool same_trusts = keep_known(wanted_trusts, trusts);
  trusts = std::move(wanted_trusts);
  tokens.set(scrape_tokens.value());
  Changes changes(config, wanted);
  changes.note("tls", new_tls.value());
  changes.note("tokens", *scrape_tokens.value() != *tokens_before);
  changes.note("authorities", !same_trusts);
  const bool new_polling = !same_polling(config, wanted) || !same_trusts;
  config = wanted;
  keeper.replace(config, trusts);
  note_facts(listener->addresses());
  if (new_polling) {
    ++generation;
    publisher.replace(config, generation);
    poller->replace(plan());
  }
  keeper.look_now();
  certctl_keeper.replace(config, trusts);
  certctl_keeper.look_now();
  note_certificate();
  log::init(config.log.level, config.log.format);
  return changes.words();
}

Daemon::Daemon(std::unique_ptr<World> world) : world_(std::move(world)) {}

Daemon::~Daemon() = default;

Result<std::unique_ptr<Daemon>> Daemon::start(ConfigOutcome outcome, ConfigLoader loader,
                                              const TransportMaker& make_transport) {
  const std::vector<std::string> files = files_of(outcome);
  auto world = std::make_unique<World>(std::move(outcome), std::move(loader));
  world->watch.watch(files);
  if (auto error = world->open()) return *std::move(error);
  try {
    world->start_threads(make_transport);
  } catch (const std::system_error& error) {
    return Error{ErrorCode::kIo, std::string("no thread could be started: ") + error.what() +
                                     "; look at TasksMax and the process limits"};
  }
  if (!Secret::locking_works()) {
    log::warn("memory cannot be locked", {{"remedy", "raise RLIMIT_MEMLOCK (LimitMEMLOCK=)"}});
  }
  for (const std::string& address : world->listener->addresses()) {
    log::info("listening", {{"address", address}, {"version", std::string(kVersion)}});
  }
  service_manager::ready("serving on " + world->listener->addresses().front());
  return std::unique_ptr<Daemon>(new Daemon(std::move(world)));
}

std::optional<Error> Daemon::check(const Config& config) {
  if (auto tokens = load_scrape_tokens(config.listener); !tokens.ok()) return tokens.error();
  if (auto trusts = load_trusts(config); !trusts.ok()) return trusts.error();
  return Listener::check_tls(config.listener);
}

void Daemon::reload(const char* why) {
  service_manager::reloading();
  World& world = *world_;
  world.watch.hold();
  const ConfigOutcome outcome = world.loader();
  world.log_problems(outcome);
  bool good = outcome.problems.empty();
  std::string changed = "nothing";
  if (good) {
    auto taken = world.take(outcome);
    good = taken.ok();
    if (good) {
      changed = std::move(taken).value();
    } else {
      log::error("configuration", {{"problem", taken.error().detail}});
    }
  }
  // After a failure, too: what is there now was looked at, and the next change, also of a file that
  // only the refused configuration names, is a new try.
  std::vector<std::string> files = files_of(outcome, /*with_tokens=*/!good);
  if (!good) {
    const std::vector<std::string> before = world.watch.files();
    files.insert(files.end(), before.begin(), before.end());
  }
  world.watch.watch(files);
  world.metrics.note_reload(good, WallClock::now());
  (good ? log::info : log::error)("reload",
                                  {{"why", why},
                                   {"changed", changed},
                                   {"result", good ? "done" : "refused, the old one stays"}});
  service_manager::ready(good ? "serving" : "serving; the last reload was refused, see the log");
}

void Daemon::tick(TimePoint now) {
  if (world_->watch.changed()) reload("a file has changed");
  const bool alive =
      !world_->metrics.poll_loop().hung_at(now) && !world_->metrics.build_loop().hung_at(now);
  if (alive) service_manager::watchdog();
}

}  // namespace bao_exporter

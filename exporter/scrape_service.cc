#include "bao_exporter/scrape_service.h"

#include <random>

#include "bao_exporter/open_metrics.h"
#include "bao_exporter/probe_answers.h"

namespace bao_exporter {

namespace {

constexpr std::string_view kExpositionType = "text/plain; version=0.0.4; charset=utf-8";
constexpr std::string_view kOpenMetricsType =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";
constexpr std::string_view kWordsType = "text/plain; charset=utf-8";
constexpr std::string_view kStarting = "not_polled: starting, the first polls have not ended yet\n";

void add_text(Rope& rope, std::string text) {
  auto kept = std::make_shared<const std::string>(std::move(text));
  rope.append(*kept);
  rope.own(kept);
}

std::string_view words_for(int status) {
  switch (status) {
    case 400:
      return "bad request: this port takes no bodies, and wants exactly one Host\n";
    case 404:
      return "not found: this port serves /metrics, /metrics/nodes/CLUSTER/NAME, "
             "/metrics/certctl/NAME, /metrics/exporter, /sd, /sd/certctl and /sd/exporter\n";
    case 405:
      return "method not allowed: use GET or HEAD\n";
    default:
      return "";  // 401: nothing is told to whom we do not know.
  }
}

// gzip: the snapshot's part was compressed once, what follows is the final block of one member.
Rope compressed(const DeflatedPart& part, std::shared_ptr<const void> owner, OwnTail::Text tail) {
  Rope rope;
  rope.append(gzip_header());
  rope.append(part.bytes);
  rope.own(std::move(owner));
  rope.append(*tail);
  rope.own(std::move(tail));
  return rope;
}

Rope compressed_alone(const std::string& text) {
  Rope plain;
  plain.append(text);
  const DeflatedPart part = deflate_open(plain);
  Rope rope;
  rope.append(gzip_header());
  add_text(rope, part.bytes + deflate_tail(part, {}));
  return rope;
}

// One line that begins with the reason.
void say_unavailable(Reply& reply, std::string words) {
  reply.status = 503;
  reply.headers.emplace_back("Content-Type", kWordsType);
  add_text(reply.body, std::move(words));
}

std::string not_served(std::string_view reason, std::string_view name, std::string_view words) {
  return std::string(reason).append(": ").append(name).append(" is not served: ").append(words) +
         "\n";
}

// Of a node or of certctl alike, by the reason that stands in the snapshot; empty: none of these.
std::string unavailable_for(const Snapshot& snapshot, ErrorCode reason, std::string_view name,
                            TimePoint now) {
  if (snapshot.overdue_at(now)) {
    return not_served("overdue", name, "the exporter has not polled for too long");
  }
  switch (reason) {
    case ErrorCode::kOk:
      return {};
    case ErrorCode::kNotPolled:
      return not_served("not_polled", name, "its first poll has not ended yet");
    case ErrorCode::kOverdue:
      return not_served("overdue", name, "it was not polled for too long");
    default:
      return not_served(reason_name(reason), name, "its last poll did not give its own samples");
  }
}

// Why a node is not served; empty: it is.
std::string unavailable(const Snapshot& snapshot, const NodeView* node, std::string_view name,
                        TimePoint now) {
  const ErrorCode reason = node == nullptr ? ErrorCode::kNotPolled : node->reason;
  std::string words = unavailable_for(snapshot, reason, name, now);
  if (words.empty() && node->text == nullptr) {
    return not_served(role_name(node->role), name,
                      "the profile active serves the active node only");
  }
  return words;
}

// Likewise, of a certctl server.
std::string unavailable(const Snapshot& snapshot, const ServedCertctl* certctl,
                        std::string_view name, TimePoint now) {
  ErrorCode reason = certctl == nullptr ? ErrorCode::kNotPolled : certctl->reason;
  if (reason == ErrorCode::kOk && now > certctl->valid_until) reason = ErrorCode::kOverdue;
  return unavailable_for(snapshot, reason, name, now);
}

void say_what_it_is(Reply& reply, std::string_view type, bool gzip) {
  reply.headers.emplace_back("Content-Type", type);
  reply.headers.emplace_back("Vary", "Accept, Accept-Encoding");
  if (gzip) reply.headers.emplace_back("Content-Encoding", "gzip");
}

// `text` as OpenMetrics.
void serve_open_metrics(const std::string& text, std::uint64_t hash_seed, bool gzip, Reply& reply) {
  Result<std::string> converted = open_metrics(text, hash_seed);
  if (!converted.ok()) {
    return say_unavailable(reply, "internal: cannot be told as OpenMetrics: " +
                                      converted.error().detail + "; ask for text/plain\n");
  }
  say_what_it_is(reply, kOpenMetricsType, gzip);
  if (gzip) {
    reply.body = compressed_alone(converted.value());
  } else {
    add_text(reply.body, std::move(converted).value());
  }
}

// `text` is not null.
void serve_alone(const std::shared_ptr<const ServedText>& text, bool gzip, Reply& reply) {
  say_what_it_is(reply, kExpositionType, gzip);
  if (gzip) {
    const DeflatedPart& part = text->deflated();
    reply.body = compressed(part, text, std::make_shared<std::string>(deflate_tail(part, {})));
  } else {
    reply.body.append(text->rope());
    reply.body.own(text);
  }
}

}  // namespace

ScrapeService::ScrapeService(const Slot<Snapshot>& snapshots, const Slot<ScrapeTokens>& tokens,
                             const Slot<PortFacts>& facts, OwnMetrics& metrics)
    : snapshots_(snapshots),
      tokens_(tokens),
      facts_(facts),
      metrics_(metrics),
      own_([this](TimePoint now) { return metrics_.render("bao_exporter_process_", now); }),
      hash_seed_(std::random_device()()) {}

Reply ScrapeService::answer(const HttpRequest& request, TimePoint now) {
  if (request.admin) return answer_prober(request, now);
  const auto tokens = tokens_.get();
  const auto facts = facts_.get();
  const Admission admission = admit(request, *tokens, facts->nodes, facts->certctls);
  Reply reply = refuse(admission);
  if (admission.auth_failure != AuthFailure::kNone) {
    note_failure(admission.auth_failure, request.peer, now, reply);
    return reply;
  }
  reply.authenticated = true;
  if (admission.status == 200) serve(admission, *facts, now, reply);
  metrics_.note_scrape(route_name(admission.route), reply.status, admission.token_name,
                       std::chrono::duration<double>(Clock::now() - now).count());
  return reply;
}

Reply ScrapeService::answer_prober(const HttpRequest& request, TimePoint now) {
  // A loop that has not begun does not hang.
  const auto hangs = [now](const Heartbeat& loop) {
    return loop.last() != TimePoint() && loop.hung_at(now);
  };
  const ProbeAnswer answer = answer_probe(
      request,
      {hangs(metrics_.poll_loop()), hangs(metrics_.build_loop()), snapshots_.get() != nullptr});
  Reply reply;
  reply.status = answer.status;
  reply.close = answer.close;
  reply.send_body = !answer.head;
  reply.headers = {{"Cache-Control", "no-store"},
                   {"X-Content-Type-Options", "nosniff"},
                   {"Content-Type", kWordsType}};
  reply.body.append(answer.words);
  return reply;
}

void ScrapeService::note_failure(AuthFailure failure, const PeerAddress& peer, TimePoint now,
                                 Reply& reply) {
  {
    const std::scoped_lock lock(limiter_mutex_);
    reply.delay = limiter_.note_failure(peer, now);
  }
  if (reply.delay > Milliseconds(0)) failure = AuthFailure::kRateLimited;
  metrics_.note_auth_failure(auth_failure_name(failure));
}

// Everything of a reply but what is served.
Reply ScrapeService::refuse(const Admission& admission) const {
  Reply reply;
  reply.status = admission.status;
  reply.close = admission.close;
  reply.send_body = !admission.head;
  reply.headers = {{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}};
  if (admission.status == 401) reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (admission.status == 405) reply.headers.emplace_back("Allow", "GET, HEAD");
  if (const std::string_view words = words_for(admission.status); !words.empty()) {
    reply.headers.emplace_back("Content-Type", kWordsType);
    reply.body.append(words);
  }
  return reply;
}

void ScrapeService::serve(const Admission& admission, const PortFacts& facts, TimePoint now,
                          Reply& reply) {
  switch (admission.route) {
    case Route::kMetrics:
      return serve_metrics(admission, now, reply);
    case Route::kNode:
      return serve_node(admission, now, reply);
    case Route::kCertctl:
      return serve_certctl(admission, now, reply);
    case Route::kExporter:
      return serve_exporter(admission, now, reply);
    case Route::kDiscovery:
    case Route::kDiscoveryCertctl:
    case Route::kDiscoveryExporter:
      return serve_discovery(admission.route, facts, now, reply);
    case Route::kNone:
      break;
  }
  BAO_CHECK(false);  // admitted to nothing
}

void ScrapeService::serve_exporter(const Admission& admission, TimePoint now, Reply& reply) {
  std::string own = metrics_.render("process_", now);
  if (admission.open_metrics) {
    return serve_open_metrics(own, hash_seed_, admission.gzip, reply);
  }
  say_what_it_is(reply, kExpositionType, admission.gzip);
  if (admission.gzip) {
    reply.body = compressed_alone(own);
  } else {
    add_text(reply.body, std::move(own));
  }
}

void ScrapeService::serve_text(const std::shared_ptr<const ServedText>& text,
                               const Admission& admission, Reply& reply) const {
  if (!admission.open_metrics) return serve_alone(text, admission.gzip, reply);
  serve_open_metrics(text->rope().to_string(), hash_seed_, admission.gzip, reply);
}

void ScrapeService::serve_node(const Admission& admission, TimePoint now, Reply& reply) {
  const auto snapshot = snapshots_.get();
  if (snapshot == nullptr) return say_unavailable(reply, std::string(kStarting));
  const NodeView* node = snapshot->node(admission.node);
  if (std::string words = unavailable(*snapshot, node, admission.node, now); !words.empty()) {
    return say_unavailable(reply, std::move(words));
  }
  reply.generation = snapshot->generation();
  serve_text(node->text, admission, reply);
}

void ScrapeService::serve_certctl(const Admission& admission, TimePoint now, Reply& reply) {
  const auto snapshot = snapshots_.get();
  if (snapshot == nullptr) return say_unavailable(reply, std::string(kStarting));
  const ServedCertctl* certctl = snapshot->certctl(admission.node);
  if (std::string words = unavailable(*snapshot, certctl, admission.node, now); !words.empty()) {
    return say_unavailable(reply, std::move(words));
  }
  reply.generation = snapshot->generation();
  serve_text(certctl->text, admission, reply);
}

void ScrapeService::serve_discovery(Route route, const PortFacts& facts, TimePoint now,
                                    Reply& reply) {
  const auto json = [&reply](std::string text) {
    reply.headers.emplace_back("Content-Type", "application/json");
    add_text(reply.body, std::move(text));
  };
  if (route == Route::kDiscoveryCertctl && facts.certctls.empty()) return json("[]\n");
  const auto snapshot = snapshots_.get();
  // Prometheus keeps the list it has while we answer 503.
  if (route != Route::kDiscoveryExporter && snapshot == nullptr) {
    return say_unavailable(reply, std::string(kStarting));
  }
  const Advertised& advertised = facts.advertised;
  if (advertised.address.empty()) {
    return say_unavailable(reply,
                           "config: set listener.advertised_address to the host:port that "
                           "Prometheus finds this port at\n");
  }
  if (route == Route::kDiscoveryExporter) return json(discover_exporter(advertised));
  if (route == Route::kDiscoveryCertctl) {
    return json(discover_certctls(snapshot->certctls(), advertised));
  }
  json(discover_nodes(snapshot->nodes(), snapshot->overdue_at(now), advertised));
}

void ScrapeService::serve_metrics(const Admission& admission, TimePoint now, Reply& reply) {
  const auto snapshot = snapshots_.get();
  if (snapshot == nullptr) return say_unavailable(reply, std::string(kStarting));
  reply.generation = snapshot->generation();
  const bool overdue = snapshot->overdue_at(now);
  const auto theirs = [&] {
    return overdue ? std::string(snapshot->overdue_text()) : snapshot->body().to_string();
  };
  if (admission.open_metrics) {
    return serve_open_metrics(theirs() + *own_.text(now), hash_seed_, admission.gzip, reply);
  }
  say_what_it_is(reply, kExpositionType, admission.gzip);
  if (admission.gzip) {
    gzip_asked_();
    if (overdue) {
      reply.body = compressed_alone(theirs() + *own_.text(now));
    } else {
      const DeflatedPart& part = snapshot->deflated();
      reply.body = compressed(part, snapshot, own_.deflated(part, snapshot->generation(), now));
    }
    return;
  }
  if (overdue) {
    reply.body.append(snapshot->overdue_text());
  } else {
    reply.body.append(snapshot->body());
  }
  reply.body.own(snapshot);
  const OwnTail::Text own = own_.text(now);
  reply.body.append(*own);
  reply.body.own(own);
}

}  // namespace bao_exporter

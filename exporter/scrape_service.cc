#include "bao_exporter/scrape_service.h"

namespace bao_exporter {

namespace {

constexpr std::string_view kExpositionType = "text/plain; version=0.0.4; charset=utf-8";

void add_text(Rope& rope, std::string text) {
  auto kept = std::make_shared<const std::string>(std::move(text));
  rope.append(*kept);
  rope.own(kept);
}

std::string_view words_for(int status) {
  switch (status) {
    case 400:
      return "bad request: this port takes no bodies\n";
    case 404:
      return "not found: this port serves /metrics and /metrics/exporter\n";
    case 405:
      return "method not allowed: use GET or HEAD\n";
    default:
      return "";  // 401: nothing is told to whom we do not know.
  }
}

// gzip: the snapshot's part was compressed once, ours follows as the final block of one member.
Rope compressed(const std::shared_ptr<const Snapshot>& snapshot, std::string_view tail) {
  const DeflatedPart& part = snapshot->deflated();
  Rope rope;
  rope.append(gzip_header());
  rope.append(part.bytes);
  rope.own(snapshot);
  add_text(rope, deflate_tail(part, tail));
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

}  // namespace

ScrapeService::ScrapeService(const Slot<Snapshot>& snapshots, const Slot<ScrapeTokens>& tokens,
                             OwnMetrics& metrics)
    : snapshots_(snapshots), tokens_(tokens), metrics_(metrics) {}

Reply ScrapeService::answer(const HttpRequest& request, TimePoint now) {
  const auto tokens = tokens_.get();
  const Admission admission = admit(request, *tokens);
  Reply reply = refuse(admission);
  if (admission.auth_failure != AuthFailure::kNone) {
    metrics_.note_auth_failure(auth_failure_name(admission.auth_failure));
    return reply;
  }
  if (admission.status == 200) serve(admission, now, reply);
  metrics_.note_scrape(route_name(admission.route), reply.status, admission.token_name,
                       std::chrono::duration<double>(Clock::now() - now).count());
  return reply;
}

// Everything of a reply but an exposition.
Reply ScrapeService::refuse(const Admission& admission) const {
  Reply reply;
  reply.status = admission.status;
  reply.close = admission.close;
  reply.send_body = !admission.head;
  reply.headers = {{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}};
  if (admission.status == 401) reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (admission.status == 405) reply.headers.emplace_back("Allow", "GET, HEAD");
  if (const std::string_view words = words_for(admission.status); !words.empty()) {
    reply.headers.emplace_back("Content-Type", "text/plain; charset=utf-8");
    reply.body.append(words);
  }
  return reply;
}

void ScrapeService::serve(const Admission& admission, TimePoint now, Reply& reply) {
  if (admission.route == Route::kMetrics) return serve_metrics(admission, now, reply);
  BAO_CHECK(admission.route == Route::kExporter);
  reply.headers.emplace_back("Content-Type", kExpositionType);
  const std::string own = metrics_.render("process_", now);
  if (admission.gzip) {
    reply.headers.emplace_back("Content-Encoding", "gzip");
    reply.body = compressed_alone(own);
  } else {
    add_text(reply.body, own);
  }
}

void ScrapeService::serve_metrics(const Admission& admission, TimePoint now, Reply& reply) {
  const auto snapshot = snapshots_.get();
  if (snapshot == nullptr) {
    reply.status = 503;
    reply.headers.emplace_back("Content-Type", "text/plain; charset=utf-8");
    reply.body.append("not_polled: starting, the first polls have not ended yet\n");
    return;
  }
  reply.headers.emplace_back("Content-Type", kExpositionType);
  reply.headers.emplace_back("Vary", "Accept-Encoding");
  const bool overdue = snapshot->overdue_at(now);
  std::string own = metrics_.render("bao_exporter_process_", now);
  if (admission.gzip) {
    gzip_asked_();
    reply.headers.emplace_back("Content-Encoding", "gzip");
    reply.body = overdue ? compressed_alone(std::string(snapshot->overdue_text()) + own)
                         : compressed(snapshot, own);
    return;
  }
  if (overdue) {
    reply.body.append(snapshot->overdue_text());
    reply.body.own(snapshot);
  } else {
    reply.body.append(snapshot->body());
    reply.body.own(snapshot);
  }
  add_text(reply.body, std::move(own));
}

}  // namespace bao_exporter

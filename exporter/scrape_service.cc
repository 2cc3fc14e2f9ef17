#include "bao_exporter/scrape_service.h"

#include "bao_exporter/own_text.h"
#include "build_info.h"

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
      return "not found: this port serves /metrics\n";
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

ScrapeService::ScrapeService(const Slot<Snapshot>& snapshots, const Slot<ScrapeTokens>& tokens)
    : snapshots_(snapshots),
      tokens_(tokens),
      scrapes_(prometheus::BuildCounter()
                   .Name("bao_exporter_scrapes_total")
                   .Help("Authenticated requests, by path, answer and the name of their token.")
                   .Register(registry_)),
      auth_failures_(prometheus::BuildCounter()
                         .Name("bao_exporter_auth_failures_total")
                         .Help("Requests that were refused for want of a valid token, by cause.")
                         .Register(registry_)) {
  auto& build = prometheus::BuildGauge()
                    .Name("bao_exporter_build_info")
                    .Help("Version and revision of this exporter.")
                    .Register(registry_);
  build.Add({{"version", std::string(kVersion)}, {"revision", std::string(kRevision)}}).Set(1);
}

Reply ScrapeService::answer(const HttpRequest& request, TimePoint now) {
  const auto tokens = tokens_.get();
  const Admission admission = admit(request, *tokens);
  if (admission.auth_failure != AuthFailure::kNone) {
    auth_failures_.Add({{"cause", std::string(auth_failure_name(admission.auth_failure))}})
        .Increment();
    return refuse(admission);
  }
  Reply reply = refuse(admission);
  if (admission.status == 200) serve_metrics(admission, now, reply);
  scrapes_
      .Add({{"path", std::string(route_name(admission.route))},
            {"code", std::to_string(reply.status)},
            {"token", std::string(admission.token_name)}})
      .Increment();
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
  std::string own = own_families();
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

std::string ScrapeService::own_families() const {
  OwnText text;
  text.append(registry_.Collect());
  return text.take();
}

}  // namespace bao_exporter

// Any bytes as each of certctl's answers: there is a value or an error that names what is wrong,
// and what is counted is an exposition. The same bytes as its own exposition: legal escapes change
// nothing but escapes.
#include <cstdlib>

#include "bao_exporter/exposition.h"
#include "certctl/answers.h"
#include "certctl/collector.h"
#include "fuzz/fuzz_target.h"

namespace {

using namespace bao_exporter;  // NOLINT(google-build-using-namespace)

void must(bool holds) {
  if (!holds) std::abort();
}

// The same answer to every request: no collector asks for ever.
void check_collector(CertctlCollector collector, const std::string& text) {
  const auto reading =
      certctl::begin_reading(collector, {3, WallTime(std::chrono::seconds(1'795'392'902))});
  for (int requests = 0; !reading->done(); ++requests) {
    must(requests < 3'000);
    must(reading->request().starts_with("/api/v1/"));
    if (const auto error = reading->take(text)) {
      must(!error->detail.empty());
      must(error->code == ErrorCode::kProtocol || error->code == ErrorCode::kInconsistent ||
           error->code == ErrorCode::kTooLarge);
      return;
    }
  }
  const certctl::Counted counted = reading->finish();
  must(counted.text.empty() || parse(counted.text, {}, 1).ok());
}

void check_answers(const std::string& text) {
  for (const int status : {200, 503}) {
    Answer answer;
    answer.status = status;
    answer.content_type = "application/json";
    answer.body = text;
    (void)certctl::read_ready(answer);
    const auto version = certctl::read_version(answer);
    must(!version.ok() || !version.value().empty());
    const auto powers = certctl::read_powers(answer);
    if (powers.ok()) must((powers.value().excess() == 0) == powers.value().excess_words().empty());
  }
}

void check_escapes(const std::string& text) {
  const std::string legal = certctl::with_legal_escapes(text);
  if (text.find('\\') == std::string::npos) must(legal == text);
  must(certctl::with_legal_escapes(legal) == legal);
  const auto parsed = parse(text, {}, 1);
  if (!parsed.ok()) return;
  must(legal == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);  // NOLINT
  for (std::size_t i = 0; i < kCertctlCollectorCount; ++i) {
    const auto collector = static_cast<CertctlCollector>(i);
    if (collector != CertctlCollector::kMetrics) check_collector(collector, text);
  }
  check_answers(text);
  check_escapes(text);
  return 0;
}

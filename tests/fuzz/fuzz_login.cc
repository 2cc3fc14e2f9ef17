// Any bytes as the answer to a login: what is lifted out is nowhere in the text afterwards, what a
// JSON parser finds was lifted, and no answer keeps its body.
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "bao_exporter/login.h"
#include "fuzz/fuzz_target.h"

namespace {

using bao_exporter::Answer;
using bao_exporter::Secret;
using Json = nlohmann::json;

constexpr const char* kKey = "client_token";

void must(bool holds) {
  if (!holds) std::abort();
}

// The strings of all members of that key, in the order of the text; false: it is no JSON.
bool values_of(const std::string& text, std::vector<std::string>& values) {
  bool wanted = false;
  const auto collect = [&](int /*depth*/, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::value && wanted && parsed.is_string()) {
      values.push_back(parsed.get<std::string>());
    }
    wanted = event == Json::parse_event_t::key && parsed == kKey;
    return true;
  };
  return !Json::parse(text, collect, /*allow_exceptions=*/false).is_discarded();
}

void check_lifting(const std::string& text) {
  std::string rest = text;
  const auto lifted = bao_exporter::lift_secret(rest, kKey);
  must(rest.size() == text.size());
  for (std::size_t i = 0; i < text.size(); ++i) must(rest[i] == text[i] || rest[i] == '*');

  std::vector<std::string> before, after;
  if (!values_of(text, before)) return;
  must(values_of(rest, after) && after.size() == before.size());
  for (const std::string& value : after) {
    must(std::all_of(value.begin(), value.end(), [](char c) { return c == '*'; }));
  }
  if (lifted) must(std::count(before.begin(), before.end(), lifted->reveal()) > 0);
}

void check_reading(const std::string& text, int status, const std::function<void(Answer&)>& read) {
  Answer answer;
  answer.status = status;
  answer.content_type = "application/json";
  answer.body = text;
  read(answer);
  must(answer.body.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);  // NOLINT
  check_lifting(text);
  for (const int status : {200, 400, 403, 500}) {
    check_reading(text, status, [](Answer& answer) {
      const auto login = bao_exporter::read_login(answer);
      if (login.ok()) must(login.value().token && login.value().grant.ttl.count() >= 0);
    });
  }
  check_reading(text, 200, [](Answer& answer) { (void)bao_exporter::read_look_up(answer); });
  check_reading(text, 200, [](Answer& answer) { (void)bao_exporter::read_renewal(answer); });
  check_reading(text, 200,
                [](Answer& answer) { (void)bao_exporter::read_unwrapped_secret_id(answer); });
  return 0;
}

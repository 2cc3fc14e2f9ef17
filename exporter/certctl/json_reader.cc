#include "certctl/json_reader.h"

#include <set>
#include <vector>

#include "certctl/rfc3339.h"
#include "exposition/text_rules.h"

namespace bao_exporter::certctl {

namespace {

// certctl's lists need three (envelope, list, row), and a few for what rows hold.
constexpr int kDepthMax = 16;
constexpr std::size_t kLabelBytesMax = 512;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

Error wrong_json(std::string_view what, std::string_view why) {
  return Error{ErrorCode::kProtocol, std::string(what) + ": " + std::string(why)};
}

// What the parser itself lets pass.
class Strictness {
 public:
  bool operator()(int depth, Json::parse_event_t event, const Json& parsed) {
    using Event = Json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      too_deep = too_deep || depth >= kDepthMax;
      if (event == Event::object_start && !too_deep) keys_.emplace_back();
      return !too_deep;
    }
    if (too_deep) return false;
    if (event == Event::key && !keys_.back().insert(parsed.get<std::string>()).second) {
      key_twice = true;
    }
    if (event == Event::object_end) keys_.pop_back();
    return true;
  }

  bool too_deep = false;
  bool key_twice = false;

 private:
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
};

}  // namespace

Result<Json> read_json(std::string_view text, std::string_view what) {
  Strictness strictness;
  const auto check = [&](int depth, Json::parse_event_t event, const Json& parsed) {
    return strictness(depth, event, parsed);
  };
  Json json = Json::parse(text, check, /*allow_exceptions=*/false);
  if (strictness.too_deep) return wrong_json(what, "its JSON nests too deep");
  if (json.is_discarded()) return wrong_json(what, "it is not JSON");
  if (strictness.key_twice) return wrong_json(what, "an object of its JSON has a key twice");
  return json;
}

std::string_view kind_of(const Json& json) {
  if (json.is_object()) return "an object";
  if (json.is_array()) return "an array";
  if (json.is_string()) return "a string";
  if (json.is_boolean()) return "true or false";
  if (json.is_number()) return "a number";
  return "null";
}

std::string label_text(std::string_view text) {
  std::string label;
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const std::size_t bytes = byte < 0x80 ? 1 : text_rules::utf8_sequence(text, at);
    const bool legal = bytes > 0 && byte != 0 && byte != '\r';
    const std::string_view next = legal ? text.substr(at, bytes) : kReplacement;
    if (label.size() + next.size() > kLabelBytesMax) break;
    label += next;
    at += bytes > 0 ? bytes : 1;
  }
  return label;
}

Fields::Fields(const Json& object, std::string_view path) : object_(object), path_(path) {
  if (!object.is_object()) {
    error_ = Error{ErrorCode::kProtocol,
                   path_ + " is " + std::string(kind_of(object)) + ", not an object"};
  }
}

const Json* Fields::at(const char* key) const {
  if (!object_.is_object()) return nullptr;
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void Fields::wrong(const char* key, std::string_view what) {
  if (error_) return;
  const std::string place = path_.empty() ? key : path_ + "." + key;
  error_ = Error{ErrorCode::kProtocol, place + " " + std::string(what)};
}

void Fields::not_a(std::string_view kind, const char* key, const Json& is) {
  wrong(key, "is " + std::string(kind_of(is)) + ", not " + std::string(kind));
}

std::string Fields::word(const char* key) {
  std::string value = raw(key);
  if (value.empty()) wrong(key, "is missing");
  if (value.size() > kLabelBytesMax) wrong(key, "is too long");
  return value;
}

std::string Fields::text(const char* key) { return label_text(raw(key)); }

std::string Fields::raw(const char* key) {
  const Json* found = at(key);
  if (found == nullptr) return {};
  if (found->is_string()) return found->get<std::string>();
  not_a("a string", key, *found);
  return {};
}

std::optional<std::int64_t> Fields::time(const char* key) {
  const std::string value = raw(key);
  if (value.empty()) return std::nullopt;
  const auto seconds = unix_seconds_of(value);
  if (!seconds) wrong(key, "is no time (RFC 3339)");
  return seconds == kGoZeroTime ? std::nullopt : seconds;
}

bool Fields::flag(const char* key) {
  const Json* found = at(key);
  if (found == nullptr) {
    wrong(key, "is missing");
  } else if (!found->is_boolean()) {
    not_a("true or false", key, *found);
  } else {
    return found->get<bool>();
  }
  return false;
}

std::size_t Fields::count(const char* key) {
  constexpr std::uint64_t kMax = 1'000'000'000'000;
  const Json* found = at(key);
  if (found == nullptr) {
    wrong(key, "is missing");
  } else if (!found->is_number_unsigned() || found->get<std::uint64_t>() > kMax) {
    wrong(key, "is not a count");
  } else {
    return found->get<std::uint64_t>();
  }
  return 0;
}

const Json* Fields::list(const char* key) {
  const Json* found = at(key);
  if (found == nullptr) {
    if (object_.is_object() && !object_.contains(key)) wrong(key, "is missing");
    return nullptr;
  }
  if (found->is_array()) return found;
  not_a("a list", key, *found);
  return nullptr;
}

}  // namespace bao_exporter::certctl

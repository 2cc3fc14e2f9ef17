#include "io/client_names.h"

#include <algorithm>

#include "ascii.h"
#include "io/openssl_owner.h"

namespace bao_exporter {

namespace {

constexpr std::size_t kListedBytesMax = 300;

std::string text_of(const ASN1_IA5STRING* text) {
  const auto* bytes = reinterpret_cast<const char*>(::ASN1_STRING_get0_data(text));  // NOLINT
  return {bytes, static_cast<std::size_t>(::ASN1_STRING_length(text))};
}

bool is_uri(const std::string& name) { return name.find(':') != std::string::npos; }

bool is_dns_name(const std::vector<std::string>& names, const std::string& wanted) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return name.size() == wanted.size() && ascii::equal_ignoring_case(name, wanted);
  });
}

}  // namespace

ClientNames client_names_of(const X509* certificate) {
  ClientNames out;
  // Null also when there is more than one such extension.
  const Owned<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(
      ::X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) out.dns.push_back(text_of(name->d.dNSName));
    if (name->type == GEN_URI) out.uris.push_back(text_of(name->d.uniformResourceIdentifier));
  }
  return out;
}

bool any_allowed(const ClientNames& names, const std::vector<std::string>& allowed) {
  return std::any_of(allowed.begin(), allowed.end(), [&](const std::string& wanted) {
    if (!is_uri(wanted)) return is_dns_name(names.dns, wanted);
    return std::find(names.uris.begin(), names.uris.end(), wanted) != names.uris.end();
  });
}

std::string listed(const ClientNames& names) {
  std::string all;
  for (const auto* some : {&names.dns, &names.uris}) {
    for (const std::string& name : *some) {
      if (all.size() + name.size() > kListedBytesMax) return all + ", ...";
      all += (all.empty() ? "" : ", ") + name;
    }
  }
  return all.empty() ? "none" : all;
}

}  // namespace bao_exporter

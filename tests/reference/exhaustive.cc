#include "reference/exhaustive.h"

#include <array>
#include <string>
#include <string_view>

namespace reference {

namespace {

using std::string_view;
using namespace std::string_view_literals;

// A letter, one of an escape, one of an exponent; digit; what names may have besides; what numbers
// may have; what stands between; both halves of a character, and the bytes that none may have.
constexpr string_view kAlphabet = "ane1_:.-=,\"\\{}# \t\n\r\0\xC3\xA9"sv;

struct Frame {
  string_view before, after;
};

// Without the newline at the end all fail in the same way: few of those.
constexpr std::array kFrames = {
    Frame{"", "\n"},
    Frame{"a{", "\n"},
    Frame{"a{", "} 1\n"},
    Frame{"a{b=\"", "\n"},
    Frame{"a{b=\"", "\"} 1\n"},
    Frame{"a ", "\n"},
    Frame{"a 1 ", "\n"},
    Frame{"# TYPE a ", "\n"},
    Frame{"# TYPE ", " gauge\n"},
    Frame{"# HELP a ", "\n"},
    Frame{"# ", "\n"},
    Frame{"a 1\n", "\na{e=\"1\"} 1\n"},
    Frame{"# TYPE a summary\n", "\na_sum 1\n"},
    Frame{"{", "\n"},
    Frame{"{\"", "\n"},
    Frame{"{\"a\"", " 1\n"},
    Frame{"a{\"", "\"=\"1\"} 1\n"},
    Frame{"a{a_=\"1\"} 1\na{\"a", "\"=\"1\"} 1\n"},
    Frame{"a_e 1\n{\"a", "\"} 1\n"},
    Frame{"# TYPE ", "\" gauge\n"},
};

class AllTexts {
 public:
  AllTexts(Differ& differ, const std::function<bool()>& go_on) : differ_(differ), go_on_(go_on) {}

  bool check(const Frame& frame, std::size_t length) {
    frame_ = frame;
    text_ = frame.before;
    return extend(length);
  }

 private:
  bool extend(std::size_t more) {
    const std::size_t size = text_.size();
    text_ += frame_.after;
    differ_.check(text_);
    text_.resize(size);
    if (more == 0) return true;
    if (more == 3 && !go_on_()) return false;
    for (const char c : kAlphabet) {
      text_ += c;
      if (!extend(more - 1)) return false;
      text_.pop_back();
    }
    return true;
  }

  Differ& differ_;
  const std::function<bool()>& go_on_;
  Frame frame_;
  std::string text_;
};

}  // namespace

void check_all_short_texts(Differ& differ, std::size_t length, const std::function<bool()>& go_on) {
  AllTexts texts(differ, go_on);
  if (!texts.check({"", ""}, length < 3 ? length : 3)) return;
  for (const Frame& frame : kFrames) {
    if (!texts.check(frame, length)) return;
  }
}

}  // namespace reference

// Splits lower-cased UTF-8 text into words: runs of letters, marks and digits, an apostrophe inside a word included,
// and the overlapping pairs of characters of a run of Han, Kana or Hangul ("東京都" gives 東京, 京都; one alone gives
// itself).
//
// What a character is, is given as a table from code point to class; it knows no Unicode of its own.

#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace quire::retrieval {

class WordSplitter {
 public:
  enum Class : uint8_t { kOther = 0, kWord = 1, kIdeograph = 2 };

  // classes[c] for code points below its size; those above are kOther. REQUIRES: at least 128 of them.
  explicit WordSplitter(std::vector<uint8_t> classes) : classes_(std::move(classes)) {}

  // emit(word), in the order of the text; the words are views of it. Malformed bytes separate words.
  template <class Emit>
  void split(std::string_view text, const Emit& emit) const {
    const char* const end = text.data() + text.size();
    for (const char* p = text.data(); p < end;) {
      const Character first = read(p, end);
      if (first.kind == kWord) {
        const char* const begin = p;
        p = skip_word(p, end);
        emit(std::string_view(begin, p));
      } else if (first.kind == kIdeograph) {
        p = split_ideographs(p, end, emit);
      } else {
        p += first.num_bytes;
      }
    }
  }

 private:
  struct Character {
    uint8_t kind;
    uint8_t num_bytes;
  };

  const char* skip_word(const char* p, const char* end) const {
    while (p < end) {
      const Character next = read(p, end);
      if (next.kind == kWord) {
        p += next.num_bytes;
        continue;
      }
      const int apostrophe = apostrophe_bytes(p, end);
      if (apostrophe == 0 || p + apostrophe >= end || read(p + apostrophe, end).kind != kWord) break;
      p += apostrophe;
    }
    return p;
  }

  static int apostrophe_bytes(const char* p, const char* end) {
    if (*p == '\'') return 1;
    return std::string_view(p, end).starts_with("\u2019") ? 3 : 0;
  }

  template <class Emit>
  const char* split_ideographs(const char* p, const char* end, const Emit& emit) const {
    const char* before = p;
    p += read(p, end).num_bytes;
    if (p == end || read(p, end).kind != kIdeograph) emit(std::string_view(before, p));
    while (p < end && read(p, end).kind == kIdeograph) {
      const char* const next = p + read(p, end).num_bytes;
      emit(std::string_view(before, next));
      before = p;
      p = next;
    }
    return p;
  }

  Character read(const char* p, const char* end) const {
    const auto lead = static_cast<uint8_t>(*p);
    if (lead < 0x80) [[likely]]
      return {classes_[lead], 1};
    const int num_bytes = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (num_bytes == 1 || end - p < num_bytes) return {kOther, 1};
    uint32_t code = lead & (0x7f >> num_bytes);
    for (int i = 1; i < num_bytes; ++i) {
      if ((static_cast<uint8_t>(p[i]) & 0xc0) != 0x80) return {kOther, 1};
      code = code << 6 | (static_cast<uint8_t>(p[i]) & 0x3f);
    }
    return {code < classes_.size() ? classes_[code] : uint8_t{kOther}, static_cast<uint8_t>(num_bytes)};
  }

  std::vector<uint8_t> classes_;
};

}  // namespace quire::retrieval

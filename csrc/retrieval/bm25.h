// The BM25 family, as Kamphuis et al. 2020 and Lv & Zhai 2011 write it: a term's score in a document is
// idf(term) · part(frequency, length). A document without the term gets nothing from it.
//
//   n = 1 - b + b · length / mean length, c = f / n
//
//   robertson  part = f / (f + k1 · n)                      idf = ln((N - df + ½) / (df + ½)), at least 0
//   lucene     part = f / (f + k1 · n)                      idf = ln(1 + (N - df + ½) / (df + ½))
//   atire      part = (k1 + 1) · f / (f + k1 · n)           idf = ln(N / df)
//   bm25+      part = (k1 + 1) · f / (f + k1 · n) + δ       idf = ln((N + 1) / df)
//   bm25l      part = (k1 + 1) · (c + δ) / (k1 + c + δ)     idf = ln((N + 1) / (df + ½))
//
// Invariant: part grows with the frequency and falls with the length, which is what bounds of blocks rest on.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace quire::retrieval {

enum class Bm25Variant : uint32_t { kRobertson = 0, kLucene = 1, kAtire = 2, kPlus = 3, kL = 4 };

struct Bm25Options {
  Bm25Variant variant;
  float k1, b, delta;
};

class Bm25 {
 public:
  Bm25(const Bm25Options& options, double num_documents, double mean_length)
      : options_(options),
        num_documents_(num_documents),
        base_(1 - options.b),
        slope_(mean_length > 0 ? static_cast<float>(options.b / mean_length) : 0),
        scale_(options.variant == Bm25Variant::kAtire || options.variant == Bm25Variant::kPlus ? options.k1 + 1 : 1),
        shift_(options.variant == Bm25Variant::kPlus ? options.delta : 0) {}

  float part(float frequency, float length) const {
    const float norm = base_ + slope_ * length;
    if (options_.variant == Bm25Variant::kL) {
      const float c = frequency / norm + options_.delta;
      return (options_.k1 + 1) * c / (options_.k1 + c);
    }
    return scale_ * frequency / (frequency + options_.k1 * norm) + shift_;
  }

  float idf(double df) const {
    const double n = num_documents_, odds = (n - df + 0.5) / (df + 0.5);
    switch (options_.variant) {
      case Bm25Variant::kRobertson:
        return static_cast<float>(std::log(std::max(1.0, odds)));
      case Bm25Variant::kLucene:
        return static_cast<float>(std::log(1 + odds));
      case Bm25Variant::kAtire:
        return static_cast<float>(std::log(n / df));
      case Bm25Variant::kPlus:
        return static_cast<float>(std::log((n + 1) / df));
      case Bm25Variant::kL:
        return static_cast<float>(std::log((n + 1) / (df + 0.5)));
    }
    return 0;
  }

 private:
  Bm25Options options_;
  double num_documents_;
  float base_, slope_, scale_, shift_;
};

}  // namespace quire::retrieval

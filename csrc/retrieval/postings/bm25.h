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
// All are one function, scale · (f + above · n) / (f + below · n) + shift: bm25l with its fraction multiplied by n has
// above = δ and below = k1 + δ, the others 0 and k1.
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

// What a term adds to a document's score.
struct Impact {
  float base, slope;  // n = base + slope · length
  float above, below, scale, shift;

  float operator()(uint32_t frequency, uint32_t length) const {
    const float f = static_cast<float>(frequency), n = base + slope * static_cast<float>(length);
    return scale * (f + above * n) / (f + below * n) + shift;
  }
};

class Bm25 {
 public:
  Bm25(const Bm25Options& options, double num_documents, double mean_length)
      : variant_(options.variant), num_documents_(num_documents) {
    const bool is_l = variant_ == Bm25Variant::kL, is_plus = variant_ == Bm25Variant::kPlus;
    part_.base = 1 - options.b;
    part_.slope = mean_length > 0 ? static_cast<float>(options.b / mean_length) : 0;
    part_.above = is_l ? options.delta : 0;
    part_.below = options.k1 + part_.above;
    part_.scale = is_l || is_plus || variant_ == Bm25Variant::kAtire ? options.k1 + 1 : 1;
    part_.shift = is_plus ? options.delta : 0;
  }

  const Impact& part() const { return part_; }
  Impact impact(float weight) const {
    Impact impact = part_;
    impact.scale *= weight, impact.shift *= weight;
    return impact;
  }

  float idf(double df) const {
    const double n = num_documents_, odds = (n - df + 0.5) / (df + 0.5);
    switch (variant_) {
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
  Bm25Variant variant_;
  double num_documents_;
  Impact part_;
};

}  // namespace quire::retrieval

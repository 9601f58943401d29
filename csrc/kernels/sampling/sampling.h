// A token for every row of logits, drawn from what min-p, top-k and top-p leave of its distribution.
//
// A row's weights are exp((logit - top) / temperature), so that its likeliest token weighs 1. Every filter is a floor
// under the weights: equal weights stand or fall together, and no result depends on how a sort breaks ties. Tokens lie
// end to end in the order of their ids, and the uniform number points at one of them. What a row draws depends on no
// other row.
//
// The heaviest tokens are found without sorting the vocabulary: it is cut into blocks, and at least n tokens weigh as
// much as the n-th largest of the blocks' maxima, so only blocks that reach it are looked into.

#pragma once

#include <cstdint>

#include "cpu_features.h"

namespace quire {

struct DrawTokens {
  float* logits;              // [rows, vocab]; their weights afterwards
  const float* tops;          // [rows]: the largest logit of each
  const float* temperatures;  // [rows]
  const int64_t* top_k;       // [rows]; 0 keeps all
  const double* top_p;        // [rows]; 1 keeps all
  const float* min_p;         // [rows]; 0 keeps all
  const double* uniforms;     // [rows], in [0, 1)
  int64_t* tokens;            // [rows]
  int64_t rows;
  int64_t vocab;
};

// A row whose largest logit is not a finite number gets token 0.
void draw_tokens(const DrawTokens& args);

constexpr int64_t kVocabBlock = 256;

// Logits into weights, and the largest and the sum of each block of them.
template <Isa I>
void weigh_blocks(float* logits, int64_t size, float top, float temperature, float* maxima, float* sums);

}  // namespace quire

// The weights of sampling.h over one instruction set.

#pragma once

#include <algorithm>

#include "kernels/sampling/sampling.h"
#include "kernels/simd/simd.h"

namespace quire {

template <Isa I>
void weigh_blocks(float* logits, int64_t size, float top, float temperature, float* maxima, float* sums) {
  using V = Simd<I>;
  const auto coolness = V::set(1.0f / temperature), most = V::set(top);
  for (int64_t first = 0; first < size; first += kVocabBlock) {
    float* block = logits + first;
    auto sum = V::zero(), largest = V::zero();
    for_vectors<I>(std::min(kVocabBlock, size - first), [&](int64_t i, auto n) {
      store_n<I>(block + i, V::exp(V::mul(V::sub(load_n<I>(block + i, n), most), coolness)), n);
      const auto weight = load_n<I>(block + i, n);  // zeros beyond the end
      sum = V::add(sum, weight);
      largest = V::max(largest, weight);
    });
    *maxima++ = V::max_of(largest);
    *sums++ = V::sum(sum);
  }
}

}  // namespace quire

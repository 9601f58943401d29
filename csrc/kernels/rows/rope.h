// Rotary position embedding in place, half rotation (neox): the pair (x[i], x[i + E/2]) turns by the angle of its
// position.

#pragma once

#include <cstdint>

#include "cpu_features.h"
#include "kernels/simd/dtype.h"

namespace quire {

struct Rope {
  void* q;  // [tokens, num_heads, head_dim], rows q_stride elements apart
  void* k;  // [tokens, num_kv_heads, head_dim], rows k_stride elements apart
  int64_t q_stride;
  int64_t k_stride;
  const int64_t* positions;  // [tokens]
  const float* cos_sin;      // [max_position, head_dim]: cosines, then sines
  int64_t tokens;
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t head_dim;  // even
  DType dtype;
};

void rope(const Rope& args);

template <Isa I>
void rope_tokens(const Rope& args, int64_t begin, int64_t end);

}  // namespace quire

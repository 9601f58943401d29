// Attention of an encoder: every token of a sequence sees every other, and sequences lie behind each other without
// padding.
//
//   starts    0          3                 9  11        sequence s owns the tokens [starts[s], starts[s + 1])
//   tokens    a a a      b b b b b b       c  c
//
// One head of one sequence is packed once (panel.h), then goes through register tile after register tile of queries,
// whose scores with all keys are held at once: encoders read a few hundred tokens. Scores and sums are float32.

#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu_features.h"
#include "kernels/simd/dtype.h"

namespace quire {

struct EncoderAttention {
  const void* q;  // [tokens, num_heads, head_dim], rows `stride` elements apart
  const void* k;
  const void* v;
  int64_t stride;
  void* out;              // [tokens, num_heads, head_dim], contiguous
  const int32_t* starts;  // [num_sequences + 1], rising
  int64_t num_sequences;
  int64_t num_heads;
  int64_t head_dim;
  float scale;
  DType dtype;
};

void encoder_attention(const EncoderAttention& args);

// One head of one sequence. `scratch` is encoder_attention_bytes() of its length, 64-byte aligned.
template <Isa I>
void attend_sequence(const EncoderAttention& args, int64_t sequence, int64_t head, std::byte* scratch);

int64_t encoder_attention_bytes(int64_t length, int64_t head_dim);

}  // namespace quire

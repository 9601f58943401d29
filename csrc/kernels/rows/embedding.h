// Rows of a table by their number: token ids to their vectors. The table is numbers as they are, or packed for
// linear_int8.h, whose outputs are then the rows.

#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/simd/dtype.h"

namespace quire {

struct Embedding {
  const int64_t* ids;      // [count]
  const std::byte* table;  // [rows], row_bytes apart
  std::byte* out;          // [count]
  int64_t count;
  int64_t rows;
  int64_t row_bytes;
};

// std::out_of_range, with nothing written, where an id is no row.
void embedding(const Embedding& args);

struct EmbeddingInt8 {
  const int64_t* ids;   // [count]
  const uint8_t* data;  // of linear_int8.h
  const float* scales;
  void* out;  // [count, width]
  int64_t count;
  int64_t rows;
  int64_t width;
  DType dtype;
};

// The same, by the integers and scales of each row.
void embedding_int8(const EmbeddingInt8& args);

}  // namespace quire

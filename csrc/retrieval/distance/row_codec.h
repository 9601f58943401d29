// How a vector is kept in memory, and the distance of an encoded query from such rows.
//
//   f32    [ x0 … padded to 64 bytes ]
//   bf16   [ x0 … padded to 64 bytes ][ squared norm (l2 only) … ]
//   int8   [ u0 … padded to 64 bytes ][ scale, squared norm, Σ(u - 128) … ]     x ≈ scale · (u - 128), scale = max|x| /
//   127
//
// Rows start and end on cache lines. Distances: 1 - a·b for cosine (of vectors of length 1) and inner product, the
// squared Euclidean distance for l2. They are exact (to float32) for f32 rows.

#pragma once

#include <cstddef>
#include <cstdint>

#include "retrieval/distance/distance.h"

namespace quire::retrieval {

enum class Metric : uint32_t { kCosine = 0, kInnerProduct = 1, kL2 = 2 };
enum class RowType : uint32_t { kF32 = 0, kBf16 = 1, kInt8 = 2 };

// A row seen as a query. Valid as long as the row.
struct Query {
  const uint8_t* code;
  float scale, squared_norm;
  int32_t code_sum;
};

class RowCodec {
 public:
  RowCodec(RowType type, Metric metric, int dim);

  size_t row_bytes() const { return row_bytes_; }
  RowType type() const { return type_; }

  void encode(const float* vector, uint8_t* row) const;
  Query as_query(const uint8_t* row) const;
  // Prefetches ahead as it goes; the first rows may be fetched early with prefetch().
  void distances(const Query& query, const uint8_t* const* rows, int num_rows, float* out) const;
  // Of a long row its beginning: more would fill the core's miss buffers, and by then it sees the run and fetches ahead
  // by itself.
  void prefetch(const uint8_t* row) const {
    constexpr size_t kBeginning = 768;
    const size_t num_bytes = row_bytes_ < kBeginning ? row_bytes_ : kBeginning;
    for (size_t line = 0; line < num_bytes; line += 64) __builtin_prefetch(row + line);
  }

 private:
  void batch(const Query& query, const uint8_t* const* rows, int num_rows, float* out) const;
  void finish(const Query& query, const uint8_t* const* rows, int num_rows, float* out) const;
  bool has_trailer() const { return row_bytes_ > code_bytes_; }

  RowType type_;
  Metric metric_;
  int dim_, length_;  // length_: dim_ padded
  size_t code_bytes_, row_bytes_;
  const DistanceKernels* kernels_;
};

}  // namespace quire::retrieval

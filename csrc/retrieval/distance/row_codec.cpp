#include "retrieval/distance/row_codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace quire::retrieval {
namespace {

constexpr size_t kLine = 64;
constexpr int kZero = 128;  // the code of 0.0 in int8 rows

struct Trailer {
  float scale = 1, squared_norm = 0;
  int32_t code_sum = 0;
};

Trailer read_trailer(const uint8_t* trailer) {
  Trailer read;
  std::memcpy(&read, trailer, sizeof(read));
  return read;
}

size_t padded(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

size_t element_bytes(RowType type) { return type == RowType::kF32 ? 4 : type == RowType::kBf16 ? 2 : 1; }

float squared_norm(const float* vector, int dim) {
  double sum = 0;
  for (int i = 0; i < dim; ++i) sum += double{vector[i]} * vector[i];
  return static_cast<float>(sum);
}

uint16_t to_bf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float int8_scale(const float* vector, int dim) {
  float most = 0;
  for (int i = 0; i < dim; ++i) most = std::max(most, std::abs(vector[i]));
  return most / 127;
}

// Encodes into `codes` and gives the sum of the signed codes.
int32_t encode_int8(const float* vector, int dim, float scale, uint8_t* codes) {
  // Of a vector so short that its scale has no finite inverse, the codes are zeros.
  const float inverse = scale >= std::numeric_limits<float>::min() ? 1 / scale : 0;
  int32_t sum = 0;
  for (int i = 0; i < dim; ++i) {
    const auto code = static_cast<int32_t>(std::nearbyint(vector[i] * inverse));
    codes[i] = static_cast<uint8_t>(code + kZero);
    sum += code;
  }
  return sum;
}

}  // namespace

RowCodec::RowCodec(RowType type, Metric metric, int dim)
    : type_(type), metric_(metric), dim_(dim), kernels_(&distance_kernels()) {
  code_bytes_ = padded(dim * element_bytes(type));
  length_ = static_cast<int>(code_bytes_ / element_bytes(type));
  const bool needs_trailer = type == RowType::kInt8 || (type == RowType::kBf16 && metric == Metric::kL2);
  row_bytes_ = code_bytes_ + (needs_trailer ? kLine : 0);
}

void RowCodec::encode(const float* vector, uint8_t* row) const {
  std::memset(row, type_ == RowType::kInt8 ? kZero : 0, code_bytes_);
  Trailer trailer;
  if (type_ == RowType::kF32) {
    std::memcpy(row, vector, dim_ * sizeof(float));
  } else if (type_ == RowType::kBf16) {
    auto* codes = reinterpret_cast<uint16_t*>(row);
    for (int i = 0; i < dim_; ++i) codes[i] = to_bf16(vector[i]);
  } else {
    trailer.scale = int8_scale(vector, dim_);
    trailer.code_sum = encode_int8(vector, dim_, trailer.scale, row);
  }
  if (!has_trailer()) return;
  trailer.squared_norm = squared_norm(vector, dim_);
  std::memset(row + code_bytes_, 0, kLine);
  std::memcpy(row + code_bytes_, &trailer, sizeof(trailer));
}

Query RowCodec::as_query(const uint8_t* row) const {
  const Trailer trailer = has_trailer() ? read_trailer(row + code_bytes_) : Trailer{};
  return {row, trailer.scale, trailer.squared_norm, trailer.code_sum};
}

void RowCodec::distances(const Query& query, const uint8_t* const* rows, int num_rows, float* out) const {
  constexpr int kBatch = 4;
  for (int begin = 0; begin < num_rows; begin += kBatch) {
    const int end = std::min(begin + kBatch, num_rows);
    for (int next = end; next < std::min(end + kBatch, num_rows); ++next) prefetch(rows[next]);
    batch(query, rows + begin, end - begin, out + begin);
  }
}

void RowCodec::batch(const Query& query, const uint8_t* const* rows, int num_rows, float* out) const {
  if (type_ == RowType::kInt8) {
    int32_t sums[4];
    kernels_->dot_u8(query.code, rows, num_rows, length_, sums);
    for (int r = 0; r < num_rows; ++r) {
      out[r] = static_cast<float>(sums[r] - kZero * query.code_sum) * query.scale *
               read_trailer(rows[r] + code_bytes_).scale;
    }
  } else if (type_ == RowType::kBf16) {
    kernels_->dot_bf16(reinterpret_cast<const uint16_t*>(query.code), rows, num_rows, length_, out);
  } else if (metric_ == Metric::kL2) {
    kernels_->l2_f32(reinterpret_cast<const float*>(query.code), rows, num_rows, length_, out);
    return;
  } else {
    kernels_->dot_f32(reinterpret_cast<const float*>(query.code), rows, num_rows, length_, out);
  }
  finish(query, rows, num_rows, out);
}

// From inner products to distances.
void RowCodec::finish(const Query& query, const uint8_t* const* rows, int num_rows, float* out) const {
  for (int r = 0; r < num_rows; ++r) {
    if (metric_ == Metric::kL2) {
      out[r] = query.squared_norm + read_trailer(rows[r] + code_bytes_).squared_norm - 2 * out[r];
    } else {
      out[r] = 1 - out[r];
    }
  }
}

}  // namespace quire::retrieval

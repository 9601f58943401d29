// One head of one sequence of encoder_attention.h over one instruction set.

#pragma once

#include <algorithm>
#include <limits>

#include "kernels/attention/attention_pack.inl.h"
#include "kernels/encoder/encoder_attention.h"
#include "kernels/simd/panel.h"
#include "kernels/simd/simd.h"

namespace quire {

template <Isa I, class T, class Dim>
class SequenceWalk {
  using V = Simd<I>;
  using Packing = AttentionPacking<I, T, T>;
  using Ops = typename Packing::Ops;
  using Unit = typename Ops::Unit;
  static constexpr int kRows = RegisterTile<I>::kRows, kWidth = V::kWidth;
  static constexpr int kKeyVectors = RegisterTile<I>::kVectors, kValueVectors = 2;

 public:
  SequenceWalk(const EncoderAttention& args, int64_t sequence, int64_t head, Dim dim, std::byte* scratch)
      : args_(args),
        dim_(dim),
        first_(args.starts[sequence]),
        length_(args.starts[sequence + 1] - first_),
        panels_((length_ + kKeyPanel - 1) / kKeyPanel),
        steps_((dim + Ops::kDepth - 1) / Ops::kDepth),
        value_panel_units_((dim + kPanelColumns - 1) / kPanelColumns * kWeightSteps * kPanelColumns),
        offset_(head * dim) {
    const auto take = [&]<class U>(U*& p, int64_t count) {
      p = reinterpret_cast<U*>(scratch);
      scratch += (count * sizeof(U) + 63) / 64 * 64;
    };
    take(keys_, panels_ * steps_ * kPanelColumns);
    take(values_, panels_ * value_panel_units_);
    take(q_, kRows * Packing::query_units(dim));
    take(scores_, kRows * panels_ * kKeyPanel);
    take(weights_, kRows * panels_ * kWeightSteps);
  }

  void run() {
    for (int64_t panel = 0; panel < panels_; ++panel) pack(panel);
    for_row_tiles<kRows>(length_, [&](auto height, int64_t row) {
      for (int r = 0; r < height(); ++r) {
        const T* q = static_cast<const T*>(args_.q) + (first_ + row + r) * args_.stride + offset_;
        Packing::pack_query(q, dim_, q_ + r * Packing::query_units(dim_));
      }
      score<height()>();
      float factors[kRows];
      for (int r = 0; r < height(); ++r) factors[r] = 1.0f / weigh(r);
      write_sums<height()>(row, factors);
    });
  }

 private:
  static constexpr int64_t kWeightSteps = kKeyPanel / Ops::kDepth;

  int64_t panel_keys(int64_t panel) const { return std::min(kKeyPanel, length_ - panel * kKeyPanel); }

  CacheRows<T> rows_of(const void* x, int64_t panel) const {
    CacheRows<T> rows;
    rows.count = panel_keys(panel);
    const T* row = static_cast<const T*>(x) + (first_ + panel * kKeyPanel) * args_.stride + offset_;
    for (int64_t j = 0; j < rows.count; ++j) rows.row[j] = row + j * args_.stride;
    return rows;
  }

  void pack(int64_t panel) {
    const CacheRows<T> keys = rows_of(args_.k, panel), values = rows_of(args_.v, panel);
    Packing::pack_keys(keys, values, dim_, keys_ + panel * steps_ * kPanelColumns);
    Packing::pack_values(values, values, dim_, values_ + panel * value_panel_units_);
  }

  template <int kHeight>
  void score() {
    for (int64_t column = 0; column < panels_ * kKeyPanel; column += kKeyVectors * kWidth) {
      typename Ops::Acc acc[kHeight][kKeyVectors];
      for (auto& row : acc) std::fill_n(row, kKeyVectors, V::zero());
      const Unit* panel = keys_ + column / kKeyPanel * steps_ * kPanelColumns + column % kKeyPanel;
      multiply_tile<Ops>(q_, Packing::query_units(dim_), panel, steps_, acc);
      for (int r = 0; r < kHeight; ++r) {
        for (int n = 0; n < kKeyVectors; ++n) {
          V::store(scores_ + r * panels_ * kKeyPanel + column + n * kWidth, acc[r][n]);
        }
      }
    }
  }

  // Turns a row of scores into weights, not yet divided by their sum, which it returns.
  float weigh(int r) {
    float* scores = scores_ + r * panels_ * kKeyPanel;
    auto* weights = reinterpret_cast<typename Ops::Element*>(weights_ + r * panels_ * kWeightSteps);
    std::fill(scores + length_, scores + panels_ * kKeyPanel, -std::numeric_limits<float>::infinity());
    auto largest = V::load(scores);
    for (int64_t j = kWidth; j < length_; j += kWidth) largest = V::max(largest, V::load(scores + j));
    const auto scale = V::set(args_.scale), base = V::set(-args_.scale * V::max_of(largest));
    auto total = V::zero();
    for (int64_t j = 0; j < panels_ * kKeyPanel; j += kWidth) {
      const auto weight = V::exp(V::fma(V::load(scores + j), scale, base));
      total = V::add(total, weight);
      V::store(weights + j, weight);
    }
    return V::sum(total);
  }

  template <int kHeight>
  void write_sums(int64_t row, const float (&factors)[kRows]) {
    for (int64_t column = 0; column < dim_; column += kValueVectors * kWidth) {
      typename Ops::Acc acc[kHeight][kValueVectors];
      for (auto& sums : acc) std::fill_n(sums, kValueVectors, V::zero());
      for (int64_t panel = 0; panel < panels_; ++panel) {
        const int64_t key_steps = (panel_keys(panel) + Ops::kDepth - 1) / Ops::kDepth;
        const Unit* values = values_ + panel * value_panel_units_ +
                             column / kPanelColumns * kWeightSteps * kPanelColumns + column % kPanelColumns;
        multiply_tile<Ops>(weights_ + panel * kWeightSteps, panels_ * kWeightSteps, values, key_steps, acc);
      }
      for (int r = 0; r < kHeight; ++r) {
        T* out = static_cast<T*>(args_.out) + (first_ + row + r) * args_.num_heads * args_.head_dim + offset_;
        for (int n = 0; n < kValueVectors; ++n) {
          const int64_t i = column + n * kWidth;
          const auto mean = V::mul(acc[r][n], V::set(factors[r]));
          if (i < dim_) V::store_first(out + i, mean, static_cast<int>(std::min<int64_t>(kWidth, dim_ - i)));
        }
      }
    }
  }

  const EncoderAttention& args_;
  const Dim dim_;
  const int64_t first_;   // token of the sequence
  const int64_t length_;  // in tokens
  const int64_t panels_;  // of 64 keys
  const int64_t steps_;   // units of a key
  const int64_t value_panel_units_;
  const int64_t offset_;  // of the head in a row
  Unit* keys_;            // [panels][steps, 64 keys]
  Unit* values_;          // [panels][head_dim / 64, 64 keys / depth, 64 columns]
  Unit* q_;               // [kRows, query_units]
  float* scores_;         // [kRows, panels * 64]
  Unit* weights_;         // [kRows, panels * 64 / depth]
};

template <Isa I>
void attend_sequence(const EncoderAttention& args, int64_t sequence, int64_t head, std::byte* scratch) {
  with_dtype(args.dtype, [&]<class T>(T) {
    const auto walk = [&](auto dim) { SequenceWalk<I, T, decltype(dim)>(args, sequence, head, dim, scratch).run(); };
    if (args.head_dim == 32) return walk(std::integral_constant<int64_t, 32>{});
    if (args.head_dim == 64) return walk(std::integral_constant<int64_t, 64>{});
    walk(args.head_dim);
  });
}

}  // namespace quire

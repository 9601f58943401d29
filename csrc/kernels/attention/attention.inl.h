// One tile of attention.h over one instruction set.
//
// A tile walks over its keys in panels of 64. K is packed so that the scores of six query rows come out of one register
// tile, then the softmax is advanced, then V is packed and the weighted sums are advanced in register tiles again.
// Row r of a tile is its query r / group and query head kv_head * group + r % group.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/attention/attention.h"
#include "kernels/attention/attention_pack.inl.h"
#include "kernels/simd/panel.h"
#include "kernels/simd/simd.h"

namespace quire {

// T is the format of queries and results, C of the cache's rows: T or int8_t.
template <Isa I, class T, class C>
class TileWalk {
  using V = Simd<I>;
  using Packing = AttentionPacking<I, T, C>;
  using Ops = typename Packing::Ops;
  using Unit = typename Ops::Unit;

 public:
  TileWalk(const PagedAttention& args, const AttentionPlan& plan, const AttentionTile& tile, int64_t kv_head,
           std::byte* scratch)
      : args_(args),
        tile_(tile),
        queries_(plan.queries.data() + tile.first_query),
        kv_head_(kv_head),
        rows_(tile.num_queries * args.group()),
        dim_(args.cache.head_dim),
        steps_((args.cache.head_dim + Ops::kDepth - 1) / Ops::kDepth),
        query_units_(Packing::query_units(args.cache.head_dim)),
        out_width_((args.cache.head_dim + kPanelColumns - 1) / kPanelColumns * kPanelColumns) {
    const auto take = [&]<class U>(U*& p, int64_t count) {
      p = reinterpret_cast<U*>(scratch);
      scratch += (count * sizeof(U) + 63) / 64 * 64;
    };
    take(q_, rows_ * query_units_);
    take(k_panel_, steps_ * kPanelColumns);
    take(v_panels_, kKeyPanel / Ops::kDepth * out_width_);
    take(scores_, rows_ * kKeyPanel);
    take(weights_, rows_ * kKeyPanel / Ops::kDepth);
    take(out_, rows_ * out_width_);
    take(state_, rows_);
    take(shrink_, rows_);
  }

  void run() {
    begin();
    CacheRows<C> keys, values;
    find_rows(tile_.from, args_.cache.k, args_.cache.k_block_stride, keys);
    for (int64_t key = tile_.from; key < tile_.to; key += kKeyPanel) {
      find_rows(key, args_.cache.v, args_.cache.v_block_stride, values);
      const int64_t first_row = first_row_that_sees(key);
      keys.read_scales(dim_);
      score(key, first_row, keys, values);
      values.read_scales(dim_);
      for (int64_t r = first_row; r < rows_; ++r) advance_softmax(r, key, keys, values);
      find_rows(key + kKeyPanel, args_.cache.k, args_.cache.k_block_stride, keys);
      add_weighted(key, first_row, values, keys);
    }
  }

  void write_whole() const {
    for (int64_t r = 0; r < rows_; ++r) {
      const int64_t head = kv_head_ * args_.group() + r % args_.group();
      T* to = static_cast<T*>(args_.out) + (queries_[r / args_.group()].token * args_.num_heads + head) * dim_;
      const auto factor = V::set(state_[r].total > 0.0f ? 1.0f / state_[r].total : 0.0f);
      for_vectors<I>(dim_, [&](int64_t i, auto n) {
        store_n<I>(to + i, V::mul(load_n<I>(out_ + r * out_width_ + i, n), factor), n);
      });
    }
  }

  void write_partial(PartialRow* partials, float* partial_outs) const {
    for (int64_t r = 0; r < rows_; ++r) {
      const int64_t head = kv_head_ * args_.group() + r % args_.group();
      const int64_t slot = (tile_.first_slot + r / args_.group()) * args_.num_heads + head;
      partials[slot] = state_[r];
      std::memcpy(partial_outs + slot * dim_, out_ + r * out_width_, dim_ * sizeof(float));
    }
  }

 private:
  // Up to here, packing costs more than it saves.
  static constexpr int64_t kUnpackedRows = 8;

  void begin() {
    for (int64_t r = 0; r < rows_; ++r) {
      const int64_t head = kv_head_ * args_.group() + r % args_.group();
      const T* q = static_cast<const T*>(args_.q) + queries_[r / args_.group()].token * args_.q_stride;
      Packing::pack_query(q + head * dim_, dim_, q_ + r * query_units_);
      state_[r] = {-std::numeric_limits<float>::infinity(), 0.0f};
    }
    std::memset(out_, 0, rows_ * out_width_ * sizeof(float));
  }

  // The rows of up to 64 keys of the tile's range, from `key` on.
  void find_rows(int64_t key, const std::byte* cache, int64_t block_stride, CacheRows<C>& rows) const {
    const int64_t size = args_.cache.block_size, row_bytes = args_.cache.row_bytes();
    rows.count = std::clamp<int64_t>(tile_.to - key, 0, kKeyPanel);
    const int32_t* block = tile_.blocks + key / size;
    for (int64_t j = 0, offset = key % size; j < rows.count; offset = 0, ++block) {
      const std::byte* row = cache + *block * block_stride + (kv_head_ * size + offset) * row_bytes;
      for (const int64_t end = std::min(rows.count, j + size - offset); j < end; ++j, row += row_bytes) {
        rows.row[j] = reinterpret_cast<const C*>(row);
      }
    }
    if (rows.count > 0) std::fill(rows.row + rows.count, rows.row + kKeyPanel, rows.row[rows.count - 1]);
  }

  void score(int64_t key, int64_t first_row, const CacheRows<C>& keys, const CacheRows<C>& next) {
    if (rows_ <= kUnpackedRows) {
      with_head_dim(dim_, [&](auto dim) { Packing::score_keys(q_, rows_, keys, next, dim, scores_); });
    } else {
      with_head_dim(dim_, [&](auto dim) { Packing::pack_keys(keys, next, dim, k_panel_); });
      multiply_keys(key, first_row);
    }
  }

  void add_weighted(int64_t key, int64_t first_row, const CacheRows<C>& values, const CacheRows<C>& next) {
    if (rows_ <= kUnpackedRows) {
      with_head_dim(
          dim_, [&](auto dim) { Packing::add_values(weights_, shrink_, rows_, values, next, dim, out_, out_width_); });
    } else {
      with_head_dim(dim_, [&](auto dim) { Packing::pack_values(values, next, dim, v_panels_); });
      multiply_values(key, first_row);
    }
  }

  // A prompt's early rows see nothing of its late panels.
  int64_t first_row_that_sees(int64_t key) const {
    if (rows_ <= kUnpackedRows) return 0;
    int64_t i = 0;
    while (i + 1 < tile_.num_queries && queries_[i].position < key) ++i;
    return i * args_.group();
  }

  // How many keys of the panel from `key` on any of the rows [r, r + height) sees.
  int64_t keys_seen(int64_t key, int64_t r, int64_t height) const {
    int64_t end = 0;
    for (int64_t i = r; i < r + height; ++i) end = std::max<int64_t>(end, queries_[i / args_.group()].position + 1);
    return std::clamp<int64_t>(std::min(end, tile_.to) - key, 0, kKeyPanel);
  }

  void multiply_keys(int64_t key, int64_t first_row) {
    for_row_tiles<RegisterTile<I>::kRows>(rows_ - first_row, [&](auto height, int64_t offset) {
      constexpr int kVectors = RegisterTile<I>::kVectors, kWidth = V::kWidth;
      const int64_t r0 = first_row + offset;
      const int64_t seen = keys_seen(key, r0, height());
      for (int64_t column = 0; column < seen; column += kVectors * kWidth) {
        typename Ops::Acc acc[height()][kVectors];
        for (auto& row : acc) std::fill_n(row, kVectors, V::zero());
        multiply_tile<Ops>(q_ + r0 * query_units_, query_units_, k_panel_ + column, steps_, acc);
        for (int r = 0; r < height(); ++r) {
          for (int n = 0; n < kVectors; ++n) V::store(scores_ + (r0 + r) * kKeyPanel + column + n * kWidth, acc[r][n]);
        }
      }
    });
  }

  void advance_softmax(int64_t r, int64_t key, const CacheRows<C>& keys, const CacheRows<C>& values) {
    constexpr int kVectors = kKeyPanel / V::kWidth;
    const int64_t position = queries_[r / args_.group()].position;
    const int64_t oldest = position - std::min(position, args_.layout.window - 1);
    const int64_t from = std::clamp<int64_t>(oldest - key, 0, keys.count);
    const int64_t to = std::clamp<int64_t>(position + 1 - key, from, keys.count);
    float* scores = scores_ + r * kKeyPanel;
    if constexpr (CacheRows<C>::kHasScales) {
      for (int64_t j = 0; j < kKeyPanel; j += V::kWidth) {
        V::store(scores + j, V::mul(V::load(scores + j), V::load(keys.scale + j)));
      }
    }
    std::fill_n(scores, from, -std::numeric_limits<float>::infinity());
    std::fill_n(scores + to, kKeyPanel - to, -std::numeric_limits<float>::infinity());

    typename V::F score[kVectors];
    auto largest = V::set(state_[r].largest);
    for (int n = 0; n < kVectors; ++n) {
      score[n] = V::mul(V::load(scores + n * V::kWidth), V::set(args_.scale));
      largest = V::max(largest, score[n]);
    }
    const float new_largest = V::max_of(largest);
    // Where nothing was seen so far, every score is -inf and so is the largest: any finite base gives weights of 0.
    const float base = new_largest == -std::numeric_limits<float>::infinity() ? 0.0f : new_largest;
    auto total = V::zero();
    for (int n = 0; n < kVectors; ++n) {
      score[n] = V::exp(V::sub(score[n], V::set(base)));
      total = V::add(total, score[n]);
      if constexpr (CacheRows<C>::kHasScales) score[n] = V::mul(score[n], V::load(values.scale + n * V::kWidth));
      V::store(reinterpret_cast<typename Ops::Element*>(weights_ + r * (kKeyPanel / Ops::kDepth)) + n * V::kWidth,
               score[n]);
    }
    shrink_[r] = std::exp(state_[r].largest - base);
    state_[r] = {new_largest, state_[r].total * shrink_[r] + V::sum(total)};
  }

  // out = out * shrink + weights · V
  void multiply_values(int64_t key, int64_t first_row) {
    constexpr int64_t kWeightSteps = kKeyPanel / Ops::kDepth;
    for_row_tiles<RegisterTile<I>::kRows>(rows_ - first_row, [&](auto height, int64_t offset) {
      constexpr int kVectors = RegisterTile<I>::kVectors, kWidth = V::kWidth;
      const int64_t r0 = first_row + offset;
      const int64_t key_steps = (keys_seen(key, r0, height()) + Ops::kDepth - 1) / Ops::kDepth;
      for (int64_t column = 0; column < dim_; column += kVectors * kWidth) {
        typename Ops::Acc acc[height()][kVectors];
        float* out = out_ + r0 * out_width_ + column;
        for (int r = 0; r < height(); ++r) {
          for (int n = 0; n < kVectors; ++n) {
            acc[r][n] = V::mul(V::load(out + r * out_width_ + n * kWidth), V::set(shrink_[r0 + r]));
          }
        }
        const Unit* panel = v_panels_ + column / kPanelColumns * kWeightSteps * kPanelColumns + column % kPanelColumns;
        multiply_tile<Ops>(weights_ + r0 * kWeightSteps, kWeightSteps, panel, key_steps, acc);
        for (int r = 0; r < height(); ++r) {
          for (int n = 0; n < kVectors; ++n) V::store(out + r * out_width_ + n * kWidth, acc[r][n]);
        }
      }
    });
  }

  const PagedAttention& args_;
  const AttentionTile& tile_;
  const AttentionQuery* queries_;
  const int64_t kv_head_;
  const int64_t rows_;
  const int64_t dim_;
  const int64_t steps_;        // units of a query row that count
  const int64_t query_units_;  // and with what fills its last vector
  const int64_t out_width_;    // head_dim in whole panels
  Unit* q_;                    // [rows, query_units]
  Unit* k_panel_;              // [steps, 64 keys]
  Unit* v_panels_;             // [out_width / 64, 64 keys / depth, 64 columns]
  float* scores_;              // [rows, 64]
  Unit* weights_;              // [rows, 64 / depth]
  float* out_;                 // [rows, out_width], not yet divided by the total
  PartialRow* state_;
  float* shrink_;  // [rows] what the last panel makes of the sums before it
};

template <Isa I>
void attend_tile(const PagedAttention& args, const AttentionPlan& plan, const AttentionTile& tile, int64_t kv_head,
                 PartialRow* partials, float* partial_outs, std::byte* scratch) {
  const auto attend = [&]<class T, class C>(T, C) {
    TileWalk<I, T, C> walk(args, plan, tile, kv_head, scratch);
    walk.run();
    if (tile.is_whole) {
      walk.write_whole();
    } else {
      walk.write_partial(partials, partial_outs);
    }
  };
  with_dtype(args.cache.dtype, [&]<class T>(T format) {
    if (args.cache.is_int8) {
      attend(format, int8_t{});
    } else {
      attend(format, format);
    }
  });
}

template <Isa I>
void merge_partials(const PagedAttention& args, const AttentionPlan& plan, int64_t begin, int64_t end,
                    const PartialRow* partials, const float* partial_outs) {
  using V = Simd<I>;
  with_dtype(args.cache.dtype, [&]<class T>(T) {
    for (int64_t m = begin; m < end; ++m) {
      const AttentionMerge& merge = plan.merges[m];
      const int64_t* slots = plan.merge_slots.data() + merge.first;
      for (int64_t head = 0; head < args.num_heads; ++head) {
        const auto row = [&](int64_t i) { return slots[i] * args.num_heads + head; };
        float largest = partials[row(0)].largest, total = 0.0f;
        for (int64_t i = 1; i < merge.count; ++i) largest = std::max(largest, partials[row(i)].largest);
        for (int64_t i = 0; i < merge.count; ++i) {
          total += partials[row(i)].total * std::exp(partials[row(i)].largest - largest);
        }
        T* out = static_cast<T*>(args.out) + (merge.token * args.num_heads + head) * args.cache.head_dim;
        for_vectors<I>(args.cache.head_dim, [&](int64_t c, auto n) {
          auto acc = V::zero();
          for (int64_t i = 0; i < merge.count; ++i) {
            const auto factor = V::set(std::exp(partials[row(i)].largest - largest) / total);
            acc = V::fma(factor, load_n<I>(partial_outs + row(i) * args.cache.head_dim + c, n), acc);
          }
          store_n<I>(out + c, acc, n);
        });
      }
    }
  });
}

}  // namespace quire

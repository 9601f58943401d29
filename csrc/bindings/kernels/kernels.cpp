// Faces of csrc/kernels. They take addresses: quire/kernels/cpu.py has checked dtypes, shapes and strides, because
// an ndarray argument costs more than many of these calls do. Strides of matrices are in elements, of caches in bytes.

#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <limits>
#include <optional>
#include <tuple>

#include "bindings/kernels/address.h"
#include "bindings/rooms.h"
#include "kernels/attention/attention.h"
#include "kernels/attention/kv_store.h"
#include "kernels/linear/linear.h"
#include "kernels/linear/linear_int4.h"
#include "kernels/linear/linear_int8.h"
#include "kernels/recording.h"
#include "kernels/rows/activation.h"
#include "kernels/rows/embedding.h"
#include "kernels/rows/norm.h"
#include "kernels/rows/qkv.h"
#include "kernels/rows/rope.h"
#include "kernels/sampling/sampling.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace quire {

namespace {

void bind_elementwise(nb::module_& m) {
  m.def(
      "embedding",
      [](Address ids, Address table, Address out, int64_t count, int64_t rows, int64_t row_bytes) {
        const Embedding args{at<int64_t>(ids), at<std::byte>(table), at<std::byte>(out), count, rows, row_bytes};
        Recording::run(KernelKind::kRows, [args] { embedding(args); });
      },
      "ids"_a, "table"_a, "out"_a, "count"_a, "rows"_a, "row_bytes"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "embedding_int8",
      [](Address ids, Address data, Address scales, Address out, int64_t count, int64_t rows, int64_t width,
         int dtype) {
        const EmbeddingInt8 args{
            at<int64_t>(ids),         at<uint8_t>(data), at<float>(scales), at(out), count, rows, width,
            static_cast<DType>(dtype)};
        Recording::run(KernelKind::kRows, [args] { embedding_int8(args); });
      },
      "ids"_a, "data"_a, "scales"_a, "out"_a, "count"_a, "rows"_a, "width"_a, "dtype"_a,
      nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "rms_norm",
      [](Address x, Address residual, Address weight, Address out, Address sum, int64_t rows, int64_t width, float eps,
         int dtype) {
        const RmsNorm args{
            at(x), at(residual), at(weight), at(out), at(sum), rows, width, eps, static_cast<DType>(dtype)};
        Recording::run(KernelKind::kRows, [args] { rms_norm(args); });
      },
      "x"_a, "residual"_a, "weight"_a, "out"_a, "sum"_a, "rows"_a, "width"_a, "eps"_a, "dtype"_a,
      nb::call_guard<nb::gil_scoped_release>(), "residual and sum are 0 where there is no residual.");
  m.def(
      "rope",
      [](Address q, Address k, int64_t q_stride, int64_t k_stride, Address positions, Address cos_sin, int64_t tokens,
         int64_t num_heads, int64_t num_kv_heads, int64_t head_dim, int dtype) {
        const Rope args{at(q),  at(k),     q_stride,     k_stride, at<int64_t>(positions),   at<float>(cos_sin),
                        tokens, num_heads, num_kv_heads, head_dim, static_cast<DType>(dtype)};
        Recording::run(KernelKind::kRows, [args] { rope(args); });
      },
      "q"_a, "k"_a, "q_stride"_a, "k_stride"_a, "positions"_a, "cos_sin"_a, "tokens"_a, "num_heads"_a, "num_kv_heads"_a,
      "head_dim"_a, "dtype"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "silu_mul",
      [](Address x, Address out, int64_t rows, int64_t width, int dtype) {
        const SiluMul args{at(x), at(out), rows, width, static_cast<DType>(dtype)};
        Recording::run(KernelKind::kRows, [args] { silu_mul(args); });
      },
      "x"_a, "out"_a, "rows"_a, "width"_a, "dtype"_a, nb::call_guard<nb::gil_scoped_release>());
}

// The layer's cache comes as (k, v, k_block_stride, v_block_stride, num_kv_heads, block_size, head_dim, dtype,
// is_int8).
using CacheFields = std::tuple<Address, Address, int64_t, int64_t, int64_t, int64_t, int64_t, int, bool>;

KvCache cache_of(const CacheFields& fields) {
  const auto& [k, v, k_block_stride, v_block_stride, num_kv_heads, block_size, head_dim, dtype, is_int8] = fields;
  return {at<std::byte>(k), at<std::byte>(v),          k_block_stride, v_block_stride, num_kv_heads, block_size,
          head_dim,         static_cast<DType>(dtype), is_int8};
}

void bind_kv(nb::module_& m) {
  m.def(
      "store_kv",
      [](Address k, Address v, int64_t k_stride, int64_t v_stride, const CacheFields& cache, Address slots,
         int64_t tokens) {
        const StoreKv args{at(k), at(v), k_stride, v_stride, cache_of(cache), at<int64_t>(slots), tokens};
        Recording::run(KernelKind::kStore, [args] { store_kv(args); });
      },
      "k"_a, "v"_a, "k_stride"_a, "v_stride"_a, "cache"_a, "slots"_a, "tokens"_a,
      nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "prepare_qkv",
      [](Address q, Address k, Address v, int64_t q_stride, int64_t k_stride, int64_t v_stride, Address positions,
         Address cos_sin, Address q_norm, Address k_norm, float eps, const CacheFields& cache_fields, Address slots,
         int64_t tokens, int64_t num_heads) {
        const KvCache cache = cache_of(cache_fields);
        const Rope rope{at(q),
                        at(k),
                        q_stride,
                        k_stride,
                        at<int64_t>(positions),
                        at<float>(cos_sin),
                        tokens,
                        num_heads,
                        cache.num_kv_heads,
                        cache.head_dim,
                        cache.dtype};
        const StoreKv store{at(k), at(v), k_stride, v_stride, cache, at<int64_t>(slots), tokens};
        const PrepareQkv args{rope, store, at(q_norm), at(k_norm), eps};
        Recording::run(KernelKind::kStore, [args] { prepare_qkv(args); });
      },
      "q"_a, "k"_a, "v"_a, "q_stride"_a, "k_stride"_a, "v_stride"_a, "positions"_a, "cos_sin"_a, "q_norm"_a, "k_norm"_a,
      "eps"_a, "cache"_a, "slots"_a, "tokens"_a, "num_heads"_a, nb::call_guard<nb::gil_scoped_release>(),
      "q_norm and k_norm are 0 where there is no norm.");
  m.def(
      "copy_blocks",
      [](Address kv, int64_t block_bytes, Address pairs, int64_t count) {
        copy_blocks(at<std::byte>(kv), block_bytes, at<int64_t>(pairs), count);
      },
      "kv"_a, "block_bytes"_a, "pairs"_a, "count"_a, nb::call_guard<nb::gil_scoped_release>());
}

void bind_attention(nb::module_& m) {
  nb::class_<AttentionPlans>(m, "AttentionPlans", "What the layers of a step share: which queries read which keys.")
      .def(nb::init<>())
      .def(
          "clear", [](AttentionPlans& plans) { Recording::run(KernelKind::kAttention, [&plans] { plans.clear(); }); },
          "The arrays hold other numbers now.");
  m.def(
      "paged_attention",
      [](Address q, int64_t q_stride, Address out, const CacheFields& cache, Address block_tables, Address context_lens,
         Address query_starts, int64_t table_width, int64_t num_sequences, int64_t num_heads,
         std::optional<int64_t> window, float scale, AttentionPlans& plans) {
        const AttentionLayout layout{at<int32_t>(block_tables),
                                     at<int32_t>(context_lens),
                                     at<int32_t>(query_starts),
                                     table_width,
                                     num_sequences,
                                     std::get<5>(cache),
                                     window.value_or(std::numeric_limits<int64_t>::max())};
        const PagedAttention args{at(q), q_stride, at(out), cache_of(cache), layout, num_heads, scale};
        Recording::run(KernelKind::kAttention, [args, &plans] { paged_attention(args, plans); });
      },
      "q"_a, "q_stride"_a, "out"_a, "cache"_a, "block_tables"_a, "context_lens"_a, "query_starts"_a, "table_width"_a,
      "num_sequences"_a, "num_heads"_a, "window"_a.none(), "scale"_a, "plans"_a,
      nb::call_guard<nb::gil_scoped_release>());
}

void bind_linear(nb::module_& m) {
  m.def(
      "linear",
      [](Address x, Address weight, Address bias, Address out, int64_t rows, int64_t inputs, int64_t outputs,
         int dtype) {
        const Linear args{at(x), at(weight), at(bias), at(out), rows, inputs, outputs, static_cast<DType>(dtype)};
        Recording::run(KernelKind::kLinear, [args] { linear(args); });
      },
      "x"_a, "weight"_a, "bias"_a, "out"_a, "rows"_a, "inputs"_a, "outputs"_a, "dtype"_a,
      nb::call_guard<nb::gil_scoped_release>(), "bias is 0 where there is none.");
  m.def(
      "linear_int8",
      [](Address x, Address data, Address scales, Address bias, Address out, int64_t rows, int64_t inputs,
         int64_t outputs, int dtype) {
        const LinearInt8 args{at(x),  at<uint8_t>(data), at<float>(scales),        at(bias), at(out), rows,
                              inputs, outputs,           static_cast<DType>(dtype)};
        Recording::run(KernelKind::kLinear, [args] { linear_int8(args); });
      },
      "x"_a, "data"_a, "scales"_a, "bias"_a, "out"_a, "rows"_a, "inputs"_a, "outputs"_a, "dtype"_a,
      nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "linear_int4",
      [](Address x, Address data, Address bias, Address out, int64_t rows, int64_t inputs, int64_t outputs,
         int64_t group, int dtype) {
        const LinearInt4 args{at(x), at<std::byte>(data),      at(bias), at(out), rows, inputs, outputs,
                              group, static_cast<DType>(dtype)};
        Recording::run(KernelKind::kLinear, [args] { linear_int4(args); });
      },
      "x"_a, "data"_a, "bias"_a, "out"_a, "rows"_a, "inputs"_a, "outputs"_a, "group"_a, "dtype"_a,
      nb::call_guard<nb::gil_scoped_release>());
}

void bind_sampling(nb::module_& m) {
  m.def(
      "draw_tokens",
      [](Address logits, Address tops, Address temperatures, Address top_k, Address top_p, Address min_p,
         Address uniforms, Address tokens, int64_t rows, int64_t vocab) {
        draw_tokens({at<float>(logits), at<float>(tops), at<float>(temperatures), at<int64_t>(top_k), at<double>(top_p),
                     at<float>(min_p), at<double>(uniforms), at<int64_t>(tokens), rows, vocab});
      },
      "logits"_a, "tops"_a, "temperatures"_a, "top_k"_a, "top_p"_a, "min_p"_a, "uniforms"_a, "tokens"_a, "rows"_a,
      "vocab"_a, nb::call_guard<nb::gil_scoped_release>());
}

void bind_recording(nb::module_& m) {
  nb::class_<Recording>(m, "Recording", "Kernel calls of this thread between begin and end, to be made again.")
      .def(nb::init<>())
      .def("begin", &Recording::begin)
      .def("end", &Recording::end)
      .def("replay", &Recording::replay, nb::call_guard<nb::gil_scoped_release>())
      .def("__len__", &Recording::size);
  nb::class_<KernelClock>(m, "KernelClock", "How long the kernel calls of this thread took between begin and end.")
      .def(nb::init<>())
      .def("begin", &KernelClock::begin)
      .def("end", &KernelClock::end)
      .def(
          "take",
          [](KernelClock& clock) {
            const KernelClock::Seconds seconds = clock.take();
            nb::typed<nb::dict, nb::str, nb::float_> by_kind;
            for (size_t kind = 0; kind < seconds.size(); ++kind) by_kind[kKernelKindNames[kind]] = seconds[kind];
            return by_kind;
          },
          "Seconds by kind since it was last taken: linear, attention, store (into the cache), rows (all else).");
}

}  // namespace

void bind_kernels(nb::module_& m) {
  bind_recording(m);
  bind_elementwise(m);
  bind_kv(m);
  bind_attention(m);
  bind_linear(m);
  bind_packing(m);
  bind_sampling(m);
}

}  // namespace quire

// Faces of the kernels of encoders. They take addresses, as those in kernels.cpp do: quire/kernels/encoder.py has
// checked dtypes, shapes and strides.

#include "bindings/kernels/address.h"
#include "bindings/rooms.h"
#include "kernels/encoder/encoder_attention.h"
#include "kernels/encoder/layer_norm.h"
#include "kernels/encoder/linear_packed.h"
#include "kernels/encoder/nonlinearity.h"
#include "kernels/recording.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace quire {

namespace {

PackedShape shape_of(int64_t inputs, int64_t outputs, int dtype, int stored) {
  return {inputs, outputs, static_cast<DType>(dtype), static_cast<DType>(stored)};
}

void bind_linear_packed(nb::module_& m) {
  m.def(
      "packed_linear_bytes",
      [](int64_t inputs, int64_t outputs, int dtype, int stored) {
        return packed_linear_bytes(shape_of(inputs, outputs, dtype, stored));
      },
      "inputs"_a, "outputs"_a, "dtype"_a, "stored"_a);
  m.def(
      "pack_linear",
      [](Address weight, Address data, int64_t inputs, int64_t outputs, int dtype, int stored) {
        pack_linear(shape_of(inputs, outputs, dtype, stored), at(weight), at<std::byte>(data));
      },
      "weight"_a, "data"_a, "inputs"_a, "outputs"_a, "dtype"_a, "stored"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "linear_packed",
      [](Address x, Address data, Address bias, Address out, int64_t rows, int64_t inputs, int64_t outputs,
         int nonlinearity, int dtype, int stored) {
        const LinearPacked args{
            shape_of(inputs, outputs, dtype, stored), at(x), at<std::byte>(data), at(bias), at(out), rows,
            static_cast<Nonlinearity>(nonlinearity)};
        Recording::run(KernelKind::kLinear, [args] { linear_packed(args); });
      },
      "x"_a, "data"_a, "bias"_a, "out"_a, "rows"_a, "inputs"_a, "outputs"_a, "nonlinearity"_a, "dtype"_a, "stored"_a,
      nb::call_guard<nb::gil_scoped_release>(), "bias is 0 where there is none.");
}

}  // namespace

void bind_encoder_kernels(nb::module_& m) {
  bind_linear_packed(m);
  m.def(
      "apply_nonlinearity",
      [](Address x, int64_t size, int kind, int dtype) {
        const ApplyNonlinearity args{at(x), size, static_cast<Nonlinearity>(kind), static_cast<DType>(dtype)};
        Recording::run(KernelKind::kRows, [args] { apply_nonlinearity(args); });
      },
      "x"_a, "size"_a, "kind"_a, "dtype"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "layer_norm",
      [](Address x, Address residual, Address weight, Address bias, Address out, int64_t rows, int64_t width, float eps,
         int dtype) {
        const LayerNorm args{
            at(x), at(residual), at(weight), at(bias), at(out), rows, width, eps, static_cast<DType>(dtype)};
        Recording::run(KernelKind::kRows, [args] { layer_norm(args); });
      },
      "x"_a, "residual"_a, "weight"_a, "bias"_a, "out"_a, "rows"_a, "width"_a, "eps"_a, "dtype"_a,
      nb::call_guard<nb::gil_scoped_release>(), "residual is 0 where there is none.");
  m.def(
      "encoder_attention",
      [](Address q, Address k, Address v, int64_t stride, Address out, Address starts, int64_t num_sequences,
         int64_t num_heads, int64_t head_dim, float scale, int dtype) {
        const EncoderAttention args{at(q),
                                    at(k),
                                    at(v),
                                    stride,
                                    at(out),
                                    at<int32_t>(starts),
                                    num_sequences,
                                    num_heads,
                                    head_dim,
                                    scale,
                                    static_cast<DType>(dtype)};
        Recording::run(KernelKind::kAttention, [args] { encoder_attention(args); });
      },
      "q"_a, "k"_a, "v"_a, "stride"_a, "out"_a, "starts"_a, "num_sequences"_a, "num_heads"_a, "head_dim"_a, "scale"_a,
      "dtype"_a, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace quire

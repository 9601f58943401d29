// Faces of the kernels of encoders. They take addresses, as those in kernels.cpp do: quire/kernels/encoder.py has
// checked dtypes, shapes and strides.

#include "bindings/rooms.h"
#include "kernels/encoder_attention.h"
#include "kernels/layer_norm.h"
#include "kernels/linear_packed.h"
#include "kernels/nonlinearity.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace quire {

namespace {

using Address = uintptr_t;

template <class T = void>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

PackedShape shape_of(int64_t inputs, int64_t outputs, int dtype) {
  return {inputs, outputs, static_cast<DType>(dtype)};
}

void bind_linear_packed(nb::module_& m) {
  m.def(
      "packed_linear_bytes",
      [](int64_t inputs, int64_t outputs, int dtype) { return packed_linear_bytes(shape_of(inputs, outputs, dtype)); },
      "inputs"_a, "outputs"_a, "dtype"_a);
  m.def(
      "pack_linear",
      [](Address weight, Address data, int64_t inputs, int64_t outputs, int dtype) {
        pack_linear(shape_of(inputs, outputs, dtype), at(weight), at<std::byte>(data));
      },
      "weight"_a, "data"_a, "inputs"_a, "outputs"_a, "dtype"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "linear_packed",
      [](Address x, Address data, Address bias, Address out, int64_t rows, int64_t inputs, int64_t outputs,
         int nonlinearity, int dtype) {
        linear_packed({shape_of(inputs, outputs, dtype), at(x), at<std::byte>(data), at(bias), at(out), rows,
                       static_cast<Nonlinearity>(nonlinearity)});
      },
      "x"_a, "data"_a, "bias"_a, "out"_a, "rows"_a, "inputs"_a, "outputs"_a, "nonlinearity"_a, "dtype"_a,
      nb::call_guard<nb::gil_scoped_release>(), "bias is 0 where there is none.");
}

}  // namespace

void bind_encoder_kernels(nb::module_& m) {
  bind_linear_packed(m);
  m.def(
      "apply_nonlinearity",
      [](Address x, int64_t size, int kind, int dtype) {
        apply_nonlinearity({at(x), size, static_cast<Nonlinearity>(kind), static_cast<DType>(dtype)});
      },
      "x"_a, "size"_a, "kind"_a, "dtype"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "layer_norm",
      [](Address x, Address residual, Address weight, Address bias, Address out, int64_t rows, int64_t width, float eps,
         int dtype) {
        layer_norm({at(x), at(residual), at(weight), at(bias), at(out), rows, width, eps, static_cast<DType>(dtype)});
      },
      "x"_a, "residual"_a, "weight"_a, "bias"_a, "out"_a, "rows"_a, "width"_a, "eps"_a, "dtype"_a,
      nb::call_guard<nb::gil_scoped_release>(), "residual is 0 where there is none.");
  m.def(
      "encoder_attention",
      [](Address q, Address k, Address v, int64_t stride, Address out, Address starts, int64_t num_sequences,
         int64_t num_heads, int64_t head_dim, float scale, int dtype) {
        encoder_attention({at(q), at(k), at(v), stride, at(out), at<int32_t>(starts), num_sequences, num_heads,
                           head_dim, scale, static_cast<DType>(dtype)});
      },
      "q"_a, "k"_a, "v"_a, "stride"_a, "out"_a, "starts"_a, "num_sequences"_a, "num_heads"_a, "head_dim"_a, "scale"_a,
      "dtype"_a, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace quire

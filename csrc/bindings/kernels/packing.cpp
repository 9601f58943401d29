// Faces of what turns weights into the forms that linear layers read; addresses as in kernels.cpp.

#include "bindings/kernels/address.h"
#include "bindings/rooms.h"
#include "kernels/checksum.h"
#include "kernels/linear/gguf_blocks.h"
#include "kernels/linear/linear_int4.h"
#include "kernels/linear/linear_int8.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace quire {

void bind_packing(nb::module_& m) {
  m.def(
      "pack_int8",
      [](Address weight, int64_t outputs, int64_t inputs, Address data, Address scales, int dtype) {
        pack_int8({at(weight), outputs, inputs, at<uint8_t>(data), at<float>(scales), static_cast<DType>(dtype)});
      },
      "weight"_a, "outputs"_a, "inputs"_a, "data"_a, "scales"_a, "dtype"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "pack_int4",
      [](Address weight, int64_t outputs, int64_t inputs, int64_t group, Address data, int dtype) {
        pack_int4({at(weight), outputs, inputs, group, at<std::byte>(data), static_cast<DType>(dtype)});
      },
      "weight"_a, "outputs"_a, "inputs"_a, "group"_a, "data"_a, "dtype"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "pack_q4_0",
      [](Address blocks, int64_t outputs, int64_t inputs, Address data) {
        pack_q4_0({at<std::byte>(blocks), outputs, inputs, at<std::byte>(data)});
      },
      "blocks"_a, "outputs"_a, "inputs"_a, "data"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "dequantize_q8_0",
      [](Address blocks, int64_t count, Address out) {
        dequantize_q8_0({at<std::byte>(blocks), count, at<float>(out)});
      },
      "blocks"_a, "count"_a, "out"_a, nb::call_guard<nb::gil_scoped_release>());
  m.def(
      "checksum", [](Address data, int64_t num_bytes) { return checksum(at<std::byte>(data), num_bytes); }, "data"_a,
      "num_bytes"_a, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace quire

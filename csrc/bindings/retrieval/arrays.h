// The arrays and filters that the structures of the retrieval room take and give.

#pragma once

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/variant.h>

#include <memory>
#include <optional>
#include <span>
#include <variant>

#include "retrieval/id_filter.h"

namespace quire {

namespace nb = nanobind;

using IdArray = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Bitmap = nb::ndarray<const bool, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Filter = std::optional<std::variant<Bitmap, IdArray>>;

inline std::span<const int64_t> view(const IdArray& ids) { return {ids.data(), ids.size()}; }

inline retrieval::IdFilter view(const Filter& filter) {
  using retrieval::IdFilter;
  if (!filter) return {};
  if (const auto* bitmap = std::get_if<Bitmap>(&*filter)) {
    return {{reinterpret_cast<const uint8_t*>(bitmap->data()), bitmap->size()}, {}, IdFilter::Kind::kBitmap};
  }
  return {{}, view(std::get<IdArray>(*filter)), IdFilter::Kind::kIds};
}

// A NumPy array that owns `values`.
template <class T, class... Shape>
auto as_array(std::unique_ptr<T[]> values, Shape... shape) {
  T* data = values.get();
  nb::capsule owner(values.release(), [](void* p) noexcept { delete[] static_cast<T*>(p); });
  return nb::ndarray<nb::numpy, T, nb::ndim<sizeof...(Shape)>>(data, {static_cast<size_t>(shape)...}, owner);
}

}  // namespace quire

#pragma once

#include <nanobind/nanobind.h>

namespace quire {

void bind_count_min(nanobind::module_& m);
void bind_hnsw(nanobind::module_& m);
void bind_inverted_index(nanobind::module_& m);

}  // namespace quire

#pragma once

#include <nanobind/nanobind.h>

namespace quire {

void bind_cpu_features(nanobind::module_& m);
void bind_kernels(nanobind::module_& m);
void bind_encoder_kernels(nanobind::module_& m);
void bind_packing(nanobind::module_& m);  // by bind_kernels
void bind_scheduling(nanobind::module_& m);
void bind_retrieval(nanobind::module_& m);
void bind_cache(nanobind::module_& m);

}  // namespace quire

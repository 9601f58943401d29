// All that lies between a layer's projection and its attention, token by token in one pass: the RMS norm of every
// query and key head (where the model has one), their rotation, and the store of K and V.
//
// Rounds as the separate kernels do, so the results are the same to the bit. q and k are changed in place.

#pragma once

#include <cstdint>

#include "cpu_features.h"
#include "kernels/attention/kv_store.h"
#include "kernels/rows/rope.h"

namespace quire {

struct PrepareQkv {
  Rope rope;
  StoreKv store;
  const void* q_norm;  // [head_dim] or null
  const void* k_norm;
  float eps;
};

void prepare_qkv(const PrepareQkv& args);

template <Isa I>
void prepare_qkv_tokens(const PrepareQkv& args, int64_t begin, int64_t end);

}  // namespace quire

// Linear layers for one instruction set.

#include "kernels/linear/linear.inl.h"
#include "kernels/linear/linear_int4.inl.h"
#include "kernels/linear/linear_int8.inl.h"

namespace quire {

template int64_t linear_row_bytes<Isa::kPortable>(DType, int64_t);
template void pack_linear_rows<Isa::kPortable>(const Linear&, std::byte*, int64_t, int64_t);
template void linear_block<Isa::kPortable>(const Linear&, const std::byte*, int64_t, int64_t, int64_t, int64_t);
template void quantize_rows<Isa::kPortable>(const void*, DType, int64_t, int64_t, int64_t, const QuantizedRows&);
template void pack_int8_panel<Isa::kPortable>(const PackInt8&, int64_t, std::byte*);
template void linear_int8_panels<Isa::kPortable>(const LinearInt8&, const QuantizedRows&, int64_t, int64_t);
template void pack_int4_panel<Isa::kPortable>(const PackInt4&, int64_t);
template void linear_int4_panels<Isa::kPortable>(const LinearInt4&, const QuantizedRows&, int64_t, int64_t);

}  // namespace quire

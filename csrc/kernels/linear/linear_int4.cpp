#include "kernels/linear/linear_int4.h"

#include "kernels/linear/quantize_step.h"
#include "kernels/simd/panel.h"
#include "kernels/simd/simd.h"
#include "parallel.h"

namespace quire {

void pack_int4(const PackInt4& args) {
  const int64_t panels = (args.outputs + kPanelColumns - 1) / kPanelColumns;
  with_isa([&](auto isa) { parallel_items(panels, [&](int64_t i) { pack_int4_panel<isa()>(args, i); }); });
}

void linear_int4(const LinearInt4& args) {
  const int64_t panels = (args.outputs + kPanelColumns - 1) / kPanelColumns;
  with_isa([&](auto isa) {
    const QuantizedRows rows = quantize_step<isa()>(args.x, args.dtype, args.rows, args.inputs, args.group);
    for_panels(panels, args.inputs / args.group * int4_group_bytes(args.group),
               [&](int64_t begin, int64_t end) { linear_int4_panels<isa()>(args, rows, begin, end); });
  });
}

}  // namespace quire

#include "kernels/linear/linear_int8.h"

#include <algorithm>

#include "kernels/linear/quantize_step.h"
#include "kernels/scratch.h"
#include "kernels/simd/panel.h"
#include "kernels/simd/simd.h"
#include "parallel.h"

namespace quire {

void pack_int8(const PackInt8& args) {
  const int64_t panels = (args.outputs + kPanelColumns - 1) / kPanelColumns;
  const int64_t scratch_bytes = kPanelColumns * (args.inputs + 3) / 4 * 4 + kPanelColumns * 4;
  with_isa([&](auto isa) {
    parallel_items(panels, [&](int64_t i) { pack_int8_panel<isa()>(args, i, thread_scratch(scratch_bytes)); });
  });
}

void linear_int8(const LinearInt8& args) {
  const int64_t panels = (args.outputs + kPanelColumns - 1) / kPanelColumns, width = (args.inputs + 3) / 4 * 4;
  with_isa([&](auto isa) {
    const QuantizedRows rows =
        quantize_step<isa()>(args.x, args.dtype, args.rows, args.inputs, width, args.rows >= kRowsForWords<isa()>);
    for_panels(panels, width * kPanelColumns,
               [&](int64_t begin, int64_t end) { linear_int8_panels<isa()>(args, rows, begin, end); });
  });
}

}  // namespace quire

#include "kernels/recording.h"

namespace quire {

thread_local Recording* Recording::current_ = nullptr;
thread_local KernelClock* KernelClock::current_ = nullptr;

}  // namespace quire

// Loops over all the threads of the process's one OpenMP team (torch's, when torch was imported first).
//
// The number of threads is OpenMP's (OMP_NUM_THREADS, torch.set_num_threads). A body must not throw.
// Inside a parallel region, and where OpenMP is missing, the loop runs in the calling thread. A loop that is worth two
// threads wakes the whole team, though some of it may find nothing to do: OpenMP ends the threads that a smaller team
// leaves out, and starting them again costs more than most of these loops.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace quire {

inline int max_threads() {
#ifdef _OPENMP
  return omp_in_parallel() ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

// body(begin, end) over a static split of [0, n): equal shares, for work whose items cost the same.
// Fewer than `grain` items per thread are not worth waking one.
template <class Body>
void parallel_ranges(int64_t n, int64_t grain, Body&& body) {
  const int64_t threads = std::min<int64_t>(max_threads(), n / std::max<int64_t>(grain, 1));
  if (threads <= 1) {
    if (n > 0) body(int64_t{0}, n);
    return;
  }
#ifdef _OPENMP
#pragma omp parallel
  {
    const int64_t me = omp_get_thread_num(), team = std::min<int64_t>(omp_get_num_threads(), threads);
    if (me < team) body(n * me / team, n * (me + 1) / team);
  }
#endif
}

// body(i) for every i in [0, n), handed out one at a time in order, for work whose items differ; on `limit` threads at
// most.
template <class Body>
void parallel_items(int64_t n, Body&& body, int limit = max_threads()) {
  const int threads = static_cast<int>(std::min<int64_t>(std::min(limit, max_threads()), n));
  std::atomic<int64_t> next{0};
  const auto work = [&] {
    for (int64_t i = next.fetch_add(1); i < n; i = next.fetch_add(1)) body(i);
  };
  if (threads <= 1) return work();
#ifdef _OPENMP
#pragma omp parallel
  if (omp_get_thread_num() < threads) work();
#endif
}

}  // namespace quire

// The process: threads, determinism, devices, versions.
#include "Internal.h"

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/headeronly/version.h>

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <vector>

ct_error ct_set_deterministic(bool enabled) {
    return ct::guarded([&] {
        at::globalContext().setDeterministicAlgorithms(enabled, false);
        at::globalContext().setDeterministicCuDNN(enabled);
        at::globalContext().setBenchmarkCuDNN(!enabled);
        at::globalContext().setDeterministicMkldnn(enabled);
        // Filling every fresh tensor with NaN is for finding bugs; nothing here reads memory before it writes.
        at::globalContext().setDeterministicFillUninitializedMemory(false);
    });
}
bool ct_deterministic(void) { return at::globalContext().deterministicAlgorithms(); }

ct_error ct_set_threads(int32_t count) {
    return ct::guarded([&] { at::set_num_threads(count); });
}
int32_t ct_threads(void) { return at::get_num_threads(); }

int32_t ct_cuda_count(void) {
    try {
        if (!at::globalContext().hasCUDA()) return 0;
        return static_cast<int32_t>(at::detail::getCUDAHooks().deviceCount());
    } catch (...) {
        return 0;
    }
}

bool ct_memory(int64_t device, int64_t *current, int64_t *peak) {
    auto target = ct::device(device);
    if (target.is_cpu()) return false;
    try {
        auto stats = at::accelerator::getDeviceStats(target.index() < 0 ? 0 : target.index());
        *current = stats.allocated_bytes[0].current;
        *peak = stats.allocated_bytes[0].peak;
        return true;
    } catch (...) {
        return false;
    }
}

ct_error ct_synchronize(int64_t device) {
    return ct::guarded([&] {
        auto target = ct::device(device);
        if (!target.is_cpu()) at::accelerator::synchronizeDevice(target.index() < 0 ? 0 : target.index());
    });
}

char *ct_version(void) {
    return ct::copy_text(
        std::to_string(TORCH_VERSION_MAJOR) + "." + std::to_string(TORCH_VERSION_MINOR) + "." +
        std::to_string(TORCH_VERSION_PATCH));
}

char *ct_cpu_capability(void) {
    try {
        return ct::copy_text(at::get_cpu_capability());
    } catch (...) {
        return nullptr;
    }
}

namespace {

// libtorch runs on libgomp. Compiling with -fopenmp here would bring LLVM's OpenMP and a second pool of threads, so
// the shim asks the libgomp that is already loaded.
struct Pool {
    using Parallel = void (*)(void (*)(void *), void *, unsigned, unsigned);
    using Number = int (*)();
    Parallel parallel = reinterpret_cast<Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
    Number thread = reinterpret_cast<Number>(dlsym(RTLD_DEFAULT, "omp_get_thread_num"));
    Number threads = reinterpret_cast<Number>(dlsym(RTLD_DEFAULT, "omp_get_num_threads"));
    bool usable() const { return parallel != nullptr && thread != nullptr && threads != nullptr; }
};

const Pool &pool() {
    static const Pool pool;
    return pool;
}

struct Work {
    int64_t count;
    void (*body)(int64_t, int64_t, void *);
    void *context;
};

void run_part(void *pointer) {
    auto *work = static_cast<Work *>(pointer);
    int64_t threads = pool().threads(), thread = pool().thread();
    int64_t part = (work->count + threads - 1) / threads;
    int64_t begin = std::min(work->count, thread * part), end = std::min(work->count, begin + part);
    if (begin < end) work->body(begin, end, work->context);
}

} // namespace

void ct_parallel_for(int64_t count, int64_t grain, void (*body)(int64_t, int64_t, void *), void *context) {
    if (count <= 0) return;
    int64_t parts = (count + std::max<int64_t>(grain, 1) - 1) / std::max<int64_t>(grain, 1);
    int64_t threads = std::min<int64_t>(at::get_num_threads(), parts);
    if (threads <= 1 || at::in_parallel_region() || !pool().usable()) {
        body(0, count, context);
        return;
    }
    Work work{count, body, context};
    pool().parallel(run_part, &work, static_cast<unsigned>(threads), 0);
}

namespace {

// What one thread begins with, on a line of the cache of its own.
struct alignas(64) Share {
    std::atomic<int64_t> next;
    int64_t end;
};

struct Turns {
    std::vector<Share> shares;
    int64_t size;
    void (*body)(int64_t, int64_t, void *);
    void *context;
};

// A thread works through its own share, whose parts lie side by side, and then helps with those of the others.
void take_turns(int64_t first, int64_t, void *pointer) {
    auto *turns = static_cast<Turns *>(pointer);
    auto count = static_cast<int64_t>(turns->shares.size());
    for (int64_t i = 0; i < count; ++i) {
        Share &share = turns->shares[static_cast<size_t>((first + i) % count)];
        while (true) {
            int64_t begin = share.next.fetch_add(turns->size, std::memory_order_relaxed);
            if (begin >= share.end) break;
            turns->body(begin, std::min(share.end, begin + turns->size), turns->context);
        }
    }
}

} // namespace

void ct_parallel_turns(int64_t count, int64_t size, void (*body)(int64_t, int64_t, void *), void *context) {
    if (count <= 0) return;
    size = std::max<int64_t>(size, 1);
    int64_t threads = std::min<int64_t>(at::get_num_threads(), (count + size - 1) / size);
    if (threads <= 1) return body(0, count, context);
    Turns turns{std::vector<Share>(static_cast<size_t>(threads)), size, body, context};
    for (int64_t i = 0; i < threads; ++i) {
        Share &share = turns.shares[static_cast<size_t>(i)];
        share.next.store(count * i / threads, std::memory_order_relaxed);
        share.end = count * (i + 1) / threads;
    }
    ct_parallel_for(threads, 1, take_turns, &turns);
}

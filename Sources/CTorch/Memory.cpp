// Host memory for tensors, kept for the next tensor of its size.
//
// A training step frees what the next one asks for again. Given back to the system in between, each large tensor
// costs its page faults anew: a fifth of a small CNN's step. What is kept, with what is in use, never goes far past the
// most that tensors ever held at once.
#include "Internal.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <array>
#include <bit>
#include <mutex>
#include <vector>

#include <sys/mman.h>

namespace {

constexpr size_t alignment = 64;
constexpr size_t small_limit = 4096;
constexpr size_t small_classes = small_limit / alignment + 1;
constexpr size_t class_count = small_classes + (64 - 12) * 8;
// Each size has its own peak, at its own moment: together they come to 7 to 32 % more than the peak of all.
constexpr size_t least_beyond = size_t(32) << 20;
constexpr size_t beyond_share = 8;
// A larger block that takes a tensor's place is at most twice as large.
constexpr size_t within = 8;
// From here on a block is a mapping of its own: what is dropped goes back to the system, whatever lies beside it.
constexpr size_t mapped_from = size_t(1) << 20;

// Sits before the elements, in a line of its own so that they stay aligned.
struct alignas(alignment) Header {
    size_t index;
    size_t size;
};
static_assert(sizeof(Header) == alignment);

// Multiples of a cache line at first, then eight classes for each doubling: at most an eighth is wasted.
size_t class_of(size_t bytes) {
    if (bytes <= small_limit) return (bytes + alignment - 1) / alignment;
    size_t doubling = std::bit_width(bytes - 1) - 1;
    size_t eighth = (bytes - 1) >> (doubling - 3);
    return small_classes + (doubling - 12) * 8 + (eighth - 8);
}

size_t size_of(size_t index) {
    if (index < small_classes) return std::max<size_t>(index, 1) * alignment;
    size_t rest = index - small_classes;
    return (rest % 8 + 9) << (rest / 8 + 12 - 3);
}

class KeepingAllocator final : public c10::Allocator {
  public:
    c10::DataPtr allocate(size_t bytes) override {
        void *memory = bytes == 0 ? nullptr : take(bytes);
        return {memory, memory, &release, c10::Device(c10::DeviceType::CPU)};
    }

    c10::DeleterFnPtr raw_deleter() const override { return &release; }

    void copy_data(void *target, const void *source, size_t bytes) const override {
        default_copy_data(target, source, bytes);
    }

    static KeepingAllocator &shared() {
        // Never destroyed: tensors in static storage may outlive everything else.
        static auto *allocator = new KeepingAllocator();
        return *allocator;
    }

  private:
    void *take(size_t bytes) {
        TORCH_CHECK_WITH(
            OutOfMemoryError, bytes <= (size_t(1) << 62), "DefaultCPUAllocator: can't allocate memory: ", bytes, " bytes");
        size_t index = class_of(bytes), size = size_of(index);
        {
            std::lock_guard<std::mutex> lock(mutex);
            // A server's batches have many sizes: rather a larger block than to drop one for each.
            size_t last = kept[index].empty() && live + held + size > limit() ? index + within : index;
            for (size_t found = index; found <= std::min(last, class_count - 1); ++found) {
                if (kept[found].empty()) continue;
                Header *header = kept[found].back();
                kept[found].pop_back();
                held -= header->size;
                count(header->size);
                return header + 1;
            }
        }
        void *memory = from_system(size);
        if (memory == nullptr) {
            drop_all();
            memory = from_system(size);
            TORCH_CHECK_WITH(
                OutOfMemoryError, memory != nullptr, "there is no memory left for a tensor of ", bytes, " bytes");
        }
        std::lock_guard<std::mutex> lock(mutex);
        count(size);
        return new (memory) Header{index, size} + 1;
    }

    static void *from_system(size_t size) {
        void *memory = nullptr;
        if (size < mapped_from) {
            return posix_memalign(&memory, alignment, sizeof(Header) + size) == 0 ? memory : nullptr;
        }
        memory = mmap(nullptr, sizeof(Header) + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return memory == MAP_FAILED ? nullptr : memory;
    }

    static void to_system(Header *header) {
        if (header->size < mapped_from) {
            std::free(header);
        } else {
            munmap(header, sizeof(Header) + header->size);
        }
    }

    void count(size_t size) {
        live += size;
        most = std::max(most, live);
    }

    static void release(void *memory) {
        if (memory != nullptr) shared().put(static_cast<Header *>(memory) - 1);
    }

    void put(Header *header) {
        std::lock_guard<std::mutex> lock(mutex);
        live -= header->size;
        held += header->size;
        kept[header->index].push_back(header);
        last_used[header->index] = ++uses;
        while (live + held > limit()) {
            size_t index = least_recently_used();
            while (live + held > limit() && !kept[index].empty()) drop(index);
        }
    }

    size_t limit() const { return most + std::max(least_beyond, most / beyond_share); }

    size_t least_recently_used() const {
        size_t oldest = class_count;
        for (size_t index = 0; index < class_count; ++index) {
            if (kept[index].empty()) continue;
            if (oldest == class_count || last_used[index] < last_used[oldest]) oldest = index;
        }
        return oldest;
    }

    void drop(size_t index) {
        held -= kept[index].back()->size;
        to_system(kept[index].back());
        kept[index].pop_back();
    }

    void drop_all() {
        std::lock_guard<std::mutex> lock(mutex);
        for (size_t index = 0; index < class_count; ++index) {
            while (!kept[index].empty()) drop(index);
        }
    }

    std::mutex mutex;
    std::array<std::vector<Header *>, class_count> kept;
    std::array<size_t, class_count> last_used{};
    size_t uses = 0;
    size_t live = 0; // bytes in tensors
    size_t held = 0; // bytes waiting
    size_t most = 0; // the most that `live` ever was
};

// Before the first tensor: memory goes back to the allocator that it came from either way.
const bool installed = [] {
    c10::SetCPUAllocator(&KeepingAllocator::shared(), 1);
    return true;
}();

} // namespace

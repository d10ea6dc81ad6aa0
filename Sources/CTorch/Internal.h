// What the C++ files of the shim share: handles to and from libtorch's types, and the one place that catches.
#pragma once

#include "include/CTorch.h"

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

struct ct_error_s {
    int32_t code;
    std::string message;
};

namespace ct {

inline c10::TensorImpl *impl(ct_tensor tensor) { return reinterpret_cast<c10::TensorImpl *>(tensor); }

// A new reference for the duration of a call.
inline at::Tensor borrow(ct_tensor tensor) {
    return at::Tensor(c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>::reclaim_copy(impl(tensor)));
}

// Gives the reference away; NULL for an undefined tensor.
inline ct_tensor give(at::Tensor &&tensor) {
    if (!tensor.defined()) return nullptr;
    return reinterpret_cast<ct_tensor>(tensor.unsafeReleaseTensorImpl());
}

inline c10::Device device(int64_t bits) {
    return c10::Device(
        static_cast<c10::DeviceType>(bits >> 32), static_cast<c10::DeviceIndex>(static_cast<int32_t>(bits)));
}

inline int64_t device_bits(c10::Device device) {
    return CT_DEVICE_BITS(static_cast<int64_t>(device.type()), static_cast<int32_t>(device.index()));
}

inline char *copy_text(const std::string &text) {
    char *copy = static_cast<char *>(std::malloc(text.size() + 1));
    if (copy != nullptr) std::memcpy(copy, text.c_str(), text.size() + 1);
    return copy;
}

ct_error make_error(int32_t code, const std::string &message) noexcept;
ct_error current_error() noexcept;

// Runs `body`, turning every exception into an owned error.
template <typename Body> ct_error guarded(Body &&body) noexcept {
    try {
        body();
        return nullptr;
    } catch (...) {
        return current_error();
    }
}

} // namespace ct

// Tensors' memory, shapes and gradients.
#include "Internal.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/autograd.h>

void ct_tensor_release(ct_tensor tensor) { c10::raw::intrusive_ptr::decref(ct::impl(tensor)); }

int32_t ct_tensor_rank(ct_tensor tensor) { return static_cast<int32_t>(ct::impl(tensor)->dim()); }
const int64_t *ct_tensor_sizes(ct_tensor tensor) { return ct::impl(tensor)->sizes().data(); }
const int64_t *ct_tensor_strides(ct_tensor tensor) { return ct::impl(tensor)->strides().data(); }
int64_t ct_tensor_count(ct_tensor tensor) { return ct::impl(tensor)->numel(); }
int32_t ct_tensor_scalar_type(ct_tensor tensor) {
    return static_cast<int32_t>(c10::typeMetaToScalarType(ct::impl(tensor)->dtype()));
}
int64_t ct_tensor_device(ct_tensor tensor) { return ct::device_bits(ct::impl(tensor)->device()); }
bool ct_tensor_is_contiguous(ct_tensor tensor) { return ct::impl(tensor)->is_contiguous(); }

void *ct_tensor_data(ct_tensor tensor) {
    try {
        return ct::impl(tensor)->has_storage() ? ct::impl(tensor)->mutable_data() : nullptr;
    } catch (...) {
        return nullptr;
    }
}

ct_error ct_tensor_item(ct_tensor tensor, ct_value *result) {
    return ct::guarded([&] {
        at::Scalar scalar = ct::borrow(tensor).item();
        if (scalar.isBoolean()) {
            *result = ct_value{CT_BOOL, 0, scalar.toBool() ? 1 : 0};
        } else if (scalar.isIntegral(false)) {
            *result = ct_value{CT_INT, 0, scalar.toLong()};
        } else {
            double number = scalar.toDouble();
            *result = ct_value{CT_DOUBLE, 0, 0};
            std::memcpy(&result->bits, &number, sizeof number);
        }
    });
}

ct_error ct_tensor_create(
    const void *bytes, const int64_t *sizes, int32_t rank, int32_t scalar_type, int64_t device, ct_tensor *result) {
    return ct::guarded([&] {
        auto type = static_cast<at::ScalarType>(scalar_type);
        auto options = at::TensorOptions().dtype(type);
        at::IntArrayRef shape(sizes, static_cast<size_t>(rank));
        auto target = ct::device(device);
        // Bytes are filled in on the host first, in fresh memory with libtorch's own alignment.
        at::Tensor tensor = at::empty(shape, bytes == nullptr ? options.device(target) : options);
        if (bytes != nullptr) {
            std::memcpy(tensor.mutable_data_ptr(), bytes, tensor.nbytes());
            if (!target.is_cpu()) tensor = tensor.to(target);
        }
        *result = ct::give(std::move(tensor));
    });
}

ct_error ct_tensor_wrap(
    void *memory, const int64_t *sizes, int32_t rank, int32_t scalar_type, void (*deleter)(void *), void *context,
    ct_tensor *result) {
    bool owned = false;
    ct_error error = ct::guarded([&] {
        auto options = at::TensorOptions().dtype(static_cast<at::ScalarType>(scalar_type));
        std::function<void(void *)> release = [deleter, context](void *) { deleter(context); };
        at::IntArrayRef shape(sizes, static_cast<size_t>(rank));
        at::Tensor tensor = at::from_blob(memory, shape, std::move(release), options);
        owned = true;
        *result = ct::give(std::move(tensor));
    });
    if (!owned) deleter(context);
    return error;
}

bool ct_tensor_requires_grad(ct_tensor tensor) { return ct::impl(tensor)->requires_grad(); }

ct_error ct_tensor_set_requires_grad(ct_tensor tensor, bool value) {
    return ct::guarded([&] { ct::borrow(tensor).requires_grad_(value); });
}

ct_tensor ct_tensor_grad(ct_tensor tensor) {
    at::Tensor grad = ct::impl(tensor)->grad();
    return ct::give(std::move(grad));
}

ct_error ct_tensor_set_grad(ct_tensor tensor, ct_tensor grad) {
    return ct::guarded(
        [&] { ct::impl(tensor)->mutable_grad() = grad == nullptr ? at::Tensor() : ct::borrow(grad); });
}

void ct_tensor_clear_grads(const ct_tensor *tensors, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        // Asking for a gradient to change it would make the bookkeeping of one that was never there.
        if (ct::impl(tensors[i])->grad().defined()) ct::impl(tensors[i])->mutable_grad().reset();
    }
}

ct_error ct_backward(ct_tensor root, ct_tensor grad, bool retain_graph) {
    return ct::guarded([&] {
        at::Tensor seed = grad == nullptr ? at::Tensor() : ct::borrow(grad);
        torch::autograd::backward({ct::borrow(root)}, {seed}, retain_graph);
    });
}

ct_error ct_gradients(
    ct_tensor root, ct_tensor grad, const ct_tensor *inputs, int32_t count, bool retain_graph, bool create_graph,
    ct_tensor *grads) {
    return ct::guarded([&] {
        torch::autograd::variable_list wanted;
        wanted.reserve(count);
        for (int32_t i = 0; i < count; ++i) wanted.push_back(ct::borrow(inputs[i]));
        at::Tensor seed = grad == nullptr ? at::Tensor() : ct::borrow(grad);
        auto found = torch::autograd::grad({ct::borrow(root)}, wanted, {seed}, retain_graph, create_graph, true);
        for (int32_t i = 0; i < count; ++i) grads[i] = ct::give(std::move(found[i]));
    });
}

bool ct_grad_mode(void) { return c10::GradMode::is_enabled(); }
void ct_set_grad_mode(bool enabled) { c10::GradMode::set_enabled(enabled); }

void *ct_inference_begin(void) { return new (std::nothrow) c10::InferenceMode(true); }
void ct_inference_end(void *guard) { delete static_cast<c10::InferenceMode *>(guard); }

// `martlet::int8_linear`: a product with a weight that is kept in 8 bits, one scale a row, with the gradient of its
// input alone. Rows are turned to float32 a block at a time, forwards and backwards, so that neither pass holds the whole
// weight: what QLoRA does with its frozen base (Dettmers et al., 2023).
#include "Internal.h"

#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

namespace {

constexpr int64_t block_numbers = 1 << 22;

int64_t block_rows(const at::Tensor &weight) {
    return std::max<int64_t>(1, block_numbers / std::max<int64_t>(1, weight.size(1)));
}

at::Tensor block(const at::Tensor &weight, const at::Tensor &scale, int64_t row, int64_t count) {
    return weight.narrow(0, row, count).to(at::kFloat).mul_(scale.narrow(0, row, count).unsqueeze(1));
}

struct Int8Linear : torch::autograd::Function<Int8Linear> {
    static at::Tensor forward(
        torch::autograd::AutogradContext *context, const at::Tensor &x, const at::Tensor &weight,
        const at::Tensor &scale) {
        context->save_for_backward({weight, scale});
        int64_t rows = weight.size(0), step = block_rows(weight);
        std::vector<at::Tensor> parts;
        for (int64_t row = 0; row < rows; row += step) {
            parts.push_back(at::linear(x, block(weight, scale, row, std::min(step, rows - row))));
        }
        return parts.size() == 1 ? parts[0] : at::cat(parts, -1);
    }

    static torch::autograd::variable_list backward(
        torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
        auto saved = context->get_saved_variables();
        const at::Tensor &weight = saved[0], &scale = saved[1], &gradient = gradients[0];
        int64_t rows = weight.size(0), step = block_rows(weight);
        at::Tensor sum;
        for (int64_t row = 0; row < rows; row += step) {
            int64_t count = std::min(step, rows - row);
            auto part = gradient.narrow(-1, row, count).matmul(block(weight, scale, row, count));
            sum = sum.defined() ? sum.add_(part) : part;
        }
        return {sum, at::Tensor(), at::Tensor()};
    }
};

at::Tensor int8_linear(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &scale) {
    TORCH_CHECK_VALUE(
        weight.dim() == 2 && weight.size(0) > 0 && scale.dim() == 1 && scale.size(0) == weight.size(0),
        "takes a weight [out, in] and a scale [out], not ", weight.sizes(), " and ", scale.sizes());
    TORCH_CHECK_VALUE(
        x.dim() >= 1 && x.size(-1) == weight.size(1), "takes [.., ", weight.size(1), "], not ", x.sizes());
    TORCH_CHECK_TYPE(
        weight.scalar_type() == at::kChar && x.scalar_type() == at::kFloat && scale.scalar_type() == at::kFloat,
        "takes a weight of int8 with float32 numbers");
    return Int8Linear::apply(x, weight, scale);
}

} // namespace

TORCH_LIBRARY_FRAGMENT(martlet, library) {
    library.def("int8_linear(Tensor x, Tensor weight, Tensor scale) -> Tensor", &int8_linear);
}

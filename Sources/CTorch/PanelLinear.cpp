// `martlet::panel_linear`: a product with a weight in panels, which CKernels computes, and `martlet::panel_weight`, which
// puts a weight into them.
#include "Internal.h"
#include "panels.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <sys/mman.h>

#include <algorithm>

namespace {

constexpr int64_t group_rows = CK_PANEL * CK_PANEL_GROUP;
constexpr size_t huge_page = size_t(2) << 20;

// Weights are read from end to end for each token, and the tables of small pages cost a part of that. Pages that lie
// outside or only in part in the memory stay small: nothing is taken that is not used.
void ask_for_huge_pages(void *memory, size_t bytes) {
#if defined(MADV_HUGEPAGE)
    auto begin = reinterpret_cast<uintptr_t>(memory), end = begin + bytes;
    begin = (begin + huge_page - 1) / huge_page * huge_page;
    end = end / huge_page * huge_page;
    if (begin < end) madvise(reinterpret_cast<void *>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

at::Tensor panel_weight(const at::Tensor &weight, bool half) {
    TORCH_CHECK_VALUE(weight.dim() == 2, "takes a weight [out, in], not ", weight.sizes());
    TORCH_CHECK_TYPE(weight.is_cpu() && weight.scalar_type() == at::kFloat, "takes float32 in host memory");
    auto type = half ? at::kHalf : at::kFloat;
    auto rows = weight.contiguous();
    int64_t outputs = weight.size(0), inputs = weight.size(1);
    int64_t panels = (outputs + group_rows - 1) / group_rows * CK_PANEL_GROUP;
    auto result = at::empty({panels, inputs, CK_PANEL}, at::TensorOptions().dtype(type));
    ask_for_huge_pages(result.mutable_data_ptr(), result.nbytes());
    ck_panel_packing packing = {rows.const_data_ptr<float>(), result.mutable_data_ptr(), inputs, outputs, half};
    ct_parallel_for(panels, 16, ck_panels_pack, &packing);
    return result;
}

at::Tensor panel_linear(
    const at::Tensor &x, const at::Tensor &weight, const std::optional<at::Tensor> &bias,
    const std::optional<at::Tensor> &residual, int64_t outputs, int64_t cpu) {
    TORCH_CHECK_VALUE(
        weight.dim() == 3 && weight.size(2) == CK_PANEL && weight.size(0) % CK_PANEL_GROUP == 0
            && outputs >= 0 && outputs <= weight.size(0) * CK_PANEL && weight.size(0) * CK_PANEL < outputs + group_rows,
        "the weight ", weight.sizes(), " is not one of panel_weight's with ", outputs, " outputs");
    TORCH_CHECK_VALUE(
        x.dim() >= 1 && x.size(-1) == weight.size(1), "takes [.., ", weight.size(1), "], not ", x.sizes());
    bool half = weight.scalar_type() == at::kHalf;
    TORCH_CHECK_TYPE(
        x.is_cpu() && weight.is_cpu() && x.scalar_type() == at::kFloat && (half || weight.scalar_type() == at::kFloat)
            && (!bias || (bias->is_cpu() && bias->scalar_type() == at::kFloat)),
        "takes float32 in host memory");
    TORCH_CHECK_VALUE(!bias || (bias->dim() == 1 && bias->size(0) == outputs), "the bias does not fit the outputs");
    auto input = x.dim() == 2 && x.stride(1) == 1 ? x : x.contiguous();
    auto sizes = x.sizes().vec();
    sizes.back() = outputs;
    TORCH_CHECK_VALUE(!residual || residual->sizes() == sizes, "the residual does not fit the result's ", sizes);
    TORCH_CHECK_TYPE(
        !residual || (residual->is_cpu() && residual->scalar_type() == at::kFloat), "takes float32 in host memory");
    auto result = at::empty(sizes, x.options());
    if (result.numel() == 0) return result;
    auto added = residual ? residual->contiguous() : at::Tensor();
    auto offsets = bias ? bias->contiguous() : at::Tensor();
    ck_panels product = {};
    product.x = input.const_data_ptr<float>();
    product.y = result.mutable_data_ptr<float>();
    product.inputs = weight.size(1);
    product.outputs = outputs;
    product.rows = result.numel() / outputs;
    product.x_stride = input.dim() == 2 ? input.stride(0) : product.inputs;
    product.y_stride = outputs;
    product.weight = weight.const_data_ptr();
    product.bias = offsets.defined() ? offsets.const_data_ptr<float>() : nullptr;
    product.residual = added.defined() ? added.const_data_ptr<float>() : nullptr;
    product.is_half = half;
    product.cpu = static_cast<int32_t>(cpu);
    // Work of some 20 µs is done before a second thread has woken up.
    double numbers = static_cast<double>(outputs) * static_cast<double>(product.inputs);
    bool small = numbers < 150'000 && numbers * static_cast<double>(product.rows) < 1'000'000;
    int64_t groups = (outputs + group_rows - 1) / group_rows;
    // Turns of some 10 µs, and some for each thread.
    double work = static_cast<double>(group_rows * product.inputs) * static_cast<double>(product.rows);
    int64_t most = std::max<int64_t>(1, groups / (4 * at::get_num_threads()));
    int64_t turn = std::clamp<int64_t>(static_cast<int64_t>(4e5 / (work + 1)), 1, most);
    ct_parallel_turns(groups, small ? groups : turn, ck_panels_run, &product);
    return result;
}

} // namespace

TORCH_LIBRARY_FRAGMENT(martlet, library) {
    library.def("panel_weight(Tensor weight, bool half) -> Tensor", &panel_weight);
    library.def(
        "panel_linear(Tensor x, Tensor weight, Tensor? bias, Tensor? residual, int outputs, int cpu=2) -> Tensor",
        &panel_linear);
}

// `martlet::sequence_attention`: causal attention over sequences that lie one after another, with its gradient.
//
// libtorch's takes sequences of one length, and splits short ones into products that are too small to pay. This one is
// for float32 on the CPU and short sequences; the caller keeps to libtorch's for the rest.
#include "Internal.h"
#include "training.h"

#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace {

// Rows whose heads lie side by side; what a cut out of a wider tensor still is.
at::Tensor in_rows(const at::Tensor &x) {
    bool lies = x.stride(2) == 1 && x.stride(1) == x.size(2);
    return lies ? x : x.contiguous();
}

std::vector<int32_t> starts_of(at::IntArrayRef lengths, int64_t tokens) {
    std::vector<int32_t> starts = {0};
    int64_t end = 0;
    for (int64_t length : lengths) {
        TORCH_CHECK_VALUE(length > 0 && length <= CK_SEQUENCE_LIMIT, "a sequence has 1 to ", CK_SEQUENCE_LIMIT, " tokens, not ", length);
        end += length;
        TORCH_CHECK_VALUE(end <= tokens, "sequences of more than the ", tokens, " tokens that there are");
        starts.push_back(static_cast<int32_t>(end));
    }
    TORCH_CHECK_VALUE(end == tokens, "sequences of ", end, " tokens where there are ", tokens);
    return starts;
}

ck_sequence work_of(
    const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, const std::vector<int32_t> &starts, double scale,
    int64_t cpu = CK_CPU_AVX512) {
    ck_sequence work = {};
    work.q = q.const_data_ptr<float>();
    work.k = k.const_data_ptr<float>();
    work.v = v.const_data_ptr<float>();
    work.q_stride = q.stride(0);
    work.k_stride = k.stride(0);
    work.v_stride = v.stride(0);
    work.starts = starts.data();
    work.count = static_cast<int32_t>(starts.size()) - 1;
    work.heads = static_cast<int32_t>(q.size(1));
    work.groups = static_cast<int32_t>(k.size(1));
    work.size = static_cast<int32_t>(q.size(2));
    work.scale = static_cast<float>(scale);
    work.cpu = static_cast<int32_t>(cpu);
    return work;
}

void run(const ck_sequence &work) {
    ct_parallel_for(
        static_cast<int64_t>(work.count) * work.groups, 1,
        [](int64_t begin, int64_t end, void *context) {
            ck_sequence part = *static_cast<const ck_sequence *>(context);
            auto scratch = std::make_unique<float[]>(static_cast<size_t>(ck_sequence_scratch(&part)));
            part.scratch = scratch.get();
            ck_sequence_run(begin, end, &part);
        },
        const_cast<ck_sequence *>(&work));
}

void check(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v) {
    for (const auto *x : {&q, &k, &v}) {
        TORCH_CHECK_TYPE(x->is_cpu() && x->scalar_type() == at::kFloat, "takes float32 in host memory");
        TORCH_CHECK_VALUE(x->dim() == 3, "takes [tokens, heads, size], not ", x->sizes());
    }
    TORCH_CHECK_VALUE(
        k.sizes() == v.sizes() && q.size(0) == k.size(0) && q.size(2) == k.size(2) && q.size(2) % 16 == 0
            && k.size(1) > 0 && q.size(1) % k.size(1) == 0 && q.size(0) < INT32_MAX,
        "queries ", q.sizes(), " do not fit keys ", k.sizes(), " and values ", v.sizes(), ", or a head's size is not 16, 32, …");
}

std::pair<at::Tensor, at::Tensor> attend(
    const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, at::IntArrayRef lengths, double scale,
    int64_t cpu = CK_CPU_AVX512) {
    auto starts = starts_of(lengths, q.size(0));
    auto rows_q = in_rows(q), rows_k = in_rows(k), rows_v = in_rows(v);
    auto output = at::empty(q.sizes(), q.options());
    auto statistics = at::empty({q.size(0), q.size(1)}, q.options());
    auto work = work_of(rows_q, rows_k, rows_v, starts, scale, cpu);
    work.output = output.mutable_data_ptr<float>();
    work.statistics = statistics.mutable_data_ptr<float>();
    run(work);
    return {output, statistics};
}

// Rows of keys and of values must lie equally far apart.
void differentiate(ck_sequence &work, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v) {
    work.q_gradient = q.mutable_data_ptr<float>();
    work.k_gradient = k.mutable_data_ptr<float>();
    work.v_gradient = v.mutable_data_ptr<float>();
    work.q_gradient_stride = q.stride(0);
    work.k_gradient_stride = k.stride(0);
    run(work);
}

struct SequenceAttention : torch::autograd::Function<SequenceAttention> {
    static at::Tensor forward(
        torch::autograd::AutogradContext *context, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
        at::IntArrayRef lengths, double scale, int64_t cpu) {
        auto [output, statistics] = attend(q, k, v, lengths, scale, cpu);
        context->save_for_backward({q, k, v, output, statistics});
        context->saved_data["cpu"] = cpu;
        context->saved_data["lengths"] = lengths.vec();
        context->saved_data["scale"] = scale;
        return output;
    }

    static torch::autograd::variable_list backward(
        torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
        TORCH_CHECK(!at::GradMode::is_enabled(), "attention has no gradient of its gradient");
        auto saved = context->get_saved_variables();
        auto q = in_rows(saved[0]), k = in_rows(saved[1]), v = in_rows(saved[2]);
        auto gradient = gradients[0].contiguous();
        auto starts = starts_of(context->saved_data["lengths"].toIntVector(), q.size(0));
        auto q_gradient = at::empty(q.sizes(), q.options());
        auto k_gradient = at::empty(k.sizes(), k.options()), v_gradient = at::empty(v.sizes(), v.options());
        auto work = work_of(
            q, k, v, starts, context->saved_data["scale"].toDouble(), context->saved_data["cpu"].toInt());
        work.output = saved[3].data_ptr<float>();
        work.statistics = saved[4].data_ptr<float>();
        work.gradient = gradient.const_data_ptr<float>();
        differentiate(work, q_gradient, k_gradient, v_gradient);
        return {q_gradient, k_gradient, v_gradient, at::Tensor(), at::Tensor(), at::Tensor()};
    }
};

// Queries, keys and values as one tensor [tokens, heads + 2·groups, size], as one product gives them: so is its
// gradient, which nobody has to put together.
struct Parts {
    at::Tensor q, k, v;
    Parts(const at::Tensor &qkv, int64_t groups)
        : q(qkv.narrow(1, 0, qkv.size(1) - 2 * groups)), k(qkv.narrow(1, qkv.size(1) - 2 * groups, groups)),
          v(qkv.narrow(1, qkv.size(1) - groups, groups)) {}
};

struct JoinedAttention : torch::autograd::Function<JoinedAttention> {
    static at::Tensor forward(
        torch::autograd::AutogradContext *context, const at::Tensor &qkv, int64_t groups, at::IntArrayRef lengths,
        double scale) {
        Parts parts(qkv, groups);
        auto [output, statistics] = attend(parts.q, parts.k, parts.v, lengths, scale);
        context->save_for_backward({qkv, output, statistics});
        context->saved_data["groups"] = groups;
        context->saved_data["lengths"] = lengths.vec();
        context->saved_data["scale"] = scale;
        return output;
    }

    static torch::autograd::variable_list backward(
        torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
        TORCH_CHECK(!at::GradMode::is_enabled(), "attention has no gradient of its gradient");
        auto saved = context->get_saved_variables();
        auto gradient = gradients[0].contiguous();
        int64_t groups = context->saved_data["groups"].toInt();
        auto joined = at::empty(saved[0].sizes(), saved[0].options());
        Parts given(saved[0], groups), found(joined, groups);
        auto starts = starts_of(context->saved_data["lengths"].toIntVector(), saved[0].size(0));
        auto work = work_of(given.q, given.k, given.v, starts, context->saved_data["scale"].toDouble());
        work.output = saved[1].data_ptr<float>();
        work.statistics = saved[2].data_ptr<float>();
        work.gradient = gradient.const_data_ptr<float>();
        differentiate(work, found.q, found.k, found.v);
        return {joined, at::Tensor(), at::Tensor(), at::Tensor()};
    }
};

at::Tensor joined_attention(const at::Tensor &qkv, int64_t groups, at::IntArrayRef lengths, double scale) {
    TORCH_CHECK_VALUE(
        qkv.dim() == 3 && groups > 0 && qkv.size(1) > 2 * groups, "takes [tokens, heads + 2·", groups, ", size], not ",
        qkv.sizes());
    auto rows = qkv.contiguous();
    Parts parts(rows, groups);
    check(parts.q, parts.k, parts.v);
    if (at::GradMode::is_enabled() && qkv.requires_grad()) return JoinedAttention::apply(rows, groups, lengths, scale);
    return attend(parts.q, parts.k, parts.v, lengths, scale).first;
}

at::Tensor sequence_attention(
    const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, at::IntArrayRef lengths, double scale, int64_t cpu) {
    check(q, k, v);
    bool learns = q.requires_grad() || k.requires_grad() || v.requires_grad();
    if (at::GradMode::is_enabled() && learns) return SequenceAttention::apply(q, k, v, lengths, scale, cpu);
    return attend(q, k, v, lengths, scale, cpu).first;
}

} // namespace

TORCH_LIBRARY_FRAGMENT(martlet, library) {
    library.def(
        "sequence_attention(Tensor q, Tensor k, Tensor v, int[] lengths, float scale, int cpu=2) -> Tensor",
        &sequence_attention);
    library.def(
        "joined_attention(Tensor qkv, int groups, int[] lengths, float scale) -> Tensor", &joined_attention);
}

// `martlet::dense`: y = act(norm(x)·Wᵀ + b) + residual as one operator with one gradient.
//
// libtorch makes each of these an operator of its own that starts its threads anew and goes over memory again; in a
// small model that is half of a training step. Float32 on the CPU; the caller keeps to libtorch's for the rest.
#include "Internal.h"
#include "training.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <mutex>

namespace {

using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

int64_t up(int64_t count) { return (count + CK_DENSE_WIDTH - 1) / CK_DENSE_WIDTH * CK_DENSE_WIDTH; }

// One piece of memory for what a stage leaves to the next: parts begin at whole cache lines.
struct Scratch {
    explicit Scratch(const at::Tensor &like, std::initializer_list<int64_t> counts) {
        int64_t total = 0;
        for (int64_t count : counts) total += up(count);
        memory = at::empty({total}, like.options());
        next = memory.mutable_data_ptr<float>();
    }
    float *take(int64_t count) {
        float *part = next;
        next += up(count);
        return count == 0 ? nullptr : part;
    }
    at::Tensor memory;
    float *next;
};

const float *numbers(const at::Tensor &x) { return x.defined() ? x.const_data_ptr<float>() : nullptr; }
float *room(const at::Tensor &x) { return x.defined() ? x.mutable_data_ptr<float>() : nullptr; }

void run(ck_dense &work, int32_t stage) {
    work.stage = stage;
    ct_parallel_turns(work.parts, 1, ck_dense_run, &work);
}

// Starting threads costs as much as about 100,000 products. Four shares a thread: who is done early takes of another's.
int64_t parts_of(int64_t rows, int64_t inputs, int64_t outputs) {
    double products = static_cast<double>(rows) * static_cast<double>(inputs) * static_cast<double>(outputs);
    int64_t most = static_cast<int64_t>(std::min(products / 5e4, 1e6));
    return std::clamp<int64_t>(most, 1, 4 * at::get_num_threads());
}

// With few rows a large weight costs more to lay out for the product than the product.
bool are_few(int64_t rows, int64_t inputs, int64_t outputs) { return rows < 128 && inputs * outputs > 16384; }

enum Input { X, WEIGHT, BIAS, NORM_WEIGHT, NORM_BIAS, RESIDUAL, INPUTS };

using Inputs = std::array<at::Tensor, INPUTS>;

struct Shape {
    int64_t rows, inputs, outputs;
    explicit Shape(const Inputs &given)
        : rows(given[X].numel() / std::max<int64_t>(given[WEIGHT].size(1), 1)), inputs(given[WEIGHT].size(1)),
          outputs(given[WEIGHT].size(0)) {}
};

ck_dense work_of(const Inputs &given, const Shape &shape, double epsilon, int64_t activation, int64_t cpu) {
    ck_dense work = {};
    work.x = numbers(given[X]);
    work.weight = numbers(given[WEIGHT]);
    work.bias = numbers(given[BIAS]);
    work.norm_weight = numbers(given[NORM_WEIGHT]);
    work.norm_bias = numbers(given[NORM_BIAS]);
    work.residual = numbers(given[RESIDUAL]);
    work.rows = shape.rows;
    work.inputs = shape.inputs;
    work.outputs = shape.outputs;
    work.parts = parts_of(shape.rows, shape.inputs, shape.outputs);
    work.epsilon = static_cast<float>(epsilon);
    work.few = !given[NORM_WEIGHT].defined() && are_few(shape.rows, shape.inputs, shape.outputs);
    work.activation = static_cast<int32_t>(activation);
    work.cpu = static_cast<int32_t>(cpu);
    return work;
}

// What the function leaves for its gradient.
struct Kept {
    at::Tensor y, slope, normed, statistics;
};

Kept compute(const Inputs &given, double epsilon, int64_t activation, int64_t cpu, bool learns) {
    Shape shape(given);
    auto options = given[X].options();
    auto work = work_of(given, shape, epsilon, activation, cpu);
    auto sizes = given[X].sizes().vec();
    sizes.back() = shape.outputs;
    Kept kept;
    kept.y = at::empty(sizes, options);
    if (learns && activation != CK_DENSE_NONE) kept.slope = at::empty({shape.rows, shape.outputs}, options);
    if (given[NORM_WEIGHT].defined()) {
        kept.normed = at::empty({shape.rows, shape.inputs}, options);
        kept.statistics = at::empty({shape.rows, 2}, options);
    }
    int64_t packed = up(work.few ? shape.rows : shape.outputs) * shape.inputs;
    Scratch scratch(given[X], {packed});
    work.y = room(kept.y);
    work.slope = room(kept.slope);
    work.normed = room(kept.normed);
    work.statistics = room(kept.statistics);
    work.packed = scratch.take(packed);
    run(work, CK_DENSE_PREPARE);
    run(work, CK_DENSE_MULTIPLY);
    return kept;
}

struct DenseBackward : torch::autograd::Node {
    std::array<SavedVariable, INPUTS> given;
    at::Tensor slope, normed, statistics;
    double epsilon = 0;
    int64_t activation = 0;
    int64_t cpu = 0;

    std::string name() const override { return "DenseBackward"; }

    void release_variables() override {
        std::lock_guard<std::mutex> lock(mutex_);
        for (auto &saved : given) saved.reset_data();
        slope.reset();
        normed.reset();
        statistics.reset();
        released = true;
    }

    variable_list apply(variable_list &&gradients) override {
        std::lock_guard<std::mutex> lock(mutex_);
        TORCH_CHECK(!released, "backward has passed here before and kept nothing; retain the graph to pass again");
        TORCH_CHECK(!c10::GradMode::is_enabled(), "a dense layer has no gradient of its gradient");
        variable_list found(INPUTS);
        if (!gradients[0].defined()) return found;
        Inputs inputs;
        for (int i = 0; i < RESIDUAL; ++i) inputs[i] = given[i].unpack();
        auto gradient = gradients[0].contiguous();
        if (wants(RESIDUAL)) found[RESIDUAL] = gradients[0];
        compute_gradients(inputs, gradient, found);
        return found;
    }

private:
    bool released = false;

    bool wants(Input input) const {
        return task_should_compute_output(static_cast<size_t>(input));
    }

    void compute_gradients(const Inputs &inputs, const at::Tensor &gradient, variable_list &found) {
        bool norms = inputs[NORM_WEIGHT].defined();
        bool wants_norm = norms && (wants(NORM_WEIGHT) || wants(NORM_BIAS));
        bool wants_input = wants(X) || wants_norm, wants_weight = wants(WEIGHT) || wants(BIAS);
        if (!wants_input && !wants_weight) return;
        Shape shape(inputs);
        auto options = gradient.options();
        auto work = work_of(inputs, shape, epsilon, activation, cpu);
        at::Tensor x_gradient, weight_gradient, bias_gradient;
        if (wants_input) x_gradient = at::empty(inputs[X].sizes(), options);
        if (wants_weight) weight_gradient = at::empty(inputs[WEIGHT].sizes(), options);
        if (wants(BIAS)) bias_gradient = at::empty({shape.outputs}, options);
        int64_t sums = norms && wants_input ? ck_dense_blocks(shape.rows) * 2 * shape.inputs : 0;
        int64_t scaled = slope.defined() ? shape.rows * shape.outputs : 0;
        int64_t packed = wants_input ? up(shape.inputs) * shape.outputs : 0;
        int64_t packed_gradient = wants_weight ? up(shape.outputs + CK_DENSE_WIDTH) * shape.rows : 0;
        Scratch scratch(gradient, {sums, scaled, packed, packed_gradient});
        work.norm_sums = scratch.take(sums);
        work.scaled = scratch.take(scaled);
        work.packed = scratch.take(packed);
        work.packed_gradient = scratch.take(packed_gradient);
        work.gradient = numbers(gradient);
        work.slope = room(slope);
        work.normed = room(normed);
        work.statistics = room(statistics);
        work.x_gradient = room(x_gradient);
        work.weight_gradient = room(weight_gradient);
        work.bias_gradient = room(bias_gradient);
        run(work, CK_DENSE_PREPARE_GRADIENT);
        run(work, CK_DENSE_MULTIPLY_GRADIENT);
        if (wants(X)) found[X] = x_gradient;
        if (wants(WEIGHT)) found[WEIGHT] = weight_gradient;
        if (wants(BIAS)) found[BIAS] = bias_gradient;
        if (!wants_norm) return;
        // In the order of the blocks, so that it does not matter which thread had which.
        auto norm_weight = at::zeros({shape.inputs}, options), norm_bias = at::zeros({shape.inputs}, options);
        float *weights = room(norm_weight), *biases = room(norm_bias);
        for (int64_t block = 0; block < ck_dense_blocks(shape.rows); ++block) {
            const float *from = work.norm_sums + block * 2 * shape.inputs;
            for (int64_t i = 0; i < shape.inputs; ++i) weights[i] += from[i];
            for (int64_t i = 0; i < shape.inputs; ++i) biases[i] += from[shape.inputs + i];
        }
        if (wants(NORM_WEIGHT)) found[NORM_WEIGHT] = norm_weight;
        if (wants(NORM_BIAS)) found[NORM_BIAS] = norm_bias;
    }
};

void check(const Inputs &given, int64_t activation) {
    const auto &x = given[X], &weight = given[WEIGHT];
    TORCH_CHECK_VALUE(x.dim() > 0 && weight.dim() == 2, "takes rows and a matrix, not ", x.sizes(), " and ", weight.sizes());
    int64_t inputs = weight.size(1), outputs = weight.size(0);
    TORCH_CHECK_VALUE(x.size(-1) == inputs && inputs > 0, "rows of ", x.sizes(), " do not fit a weight of ", weight.sizes());
    for (const auto &tensor : given) {
        TORCH_CHECK_TYPE(
            !tensor.defined() || (tensor.is_cpu() && tensor.scalar_type() == at::kFloat && tensor.layout() == at::kStrided),
            "takes float32 in host memory");
    }
    for (auto [index, count] : {std::pair{BIAS, outputs}, {NORM_WEIGHT, inputs}, {NORM_BIAS, inputs}}) {
        const auto &tensor = given[index];
        TORCH_CHECK_VALUE(
            !tensor.defined() || (tensor.dim() == 1 && tensor.size(0) == count), "a vector of ", tensor.sizes(),
            " where ", count, " numbers are wanted");
    }
    TORCH_CHECK_VALUE(given[NORM_WEIGHT].defined() || !given[NORM_BIAS].defined(), "a norm's bias without its weight");
    TORCH_CHECK_VALUE(
        activation >= CK_DENSE_NONE && activation <= CK_DENSE_GELU_TANH, "there is no activation ", activation);
    if (given[RESIDUAL].defined()) {
        auto sizes = x.sizes().vec();
        sizes.back() = outputs;
        TORCH_CHECK_VALUE(given[RESIDUAL].sizes() == sizes, "adds ", given[RESIDUAL].sizes(), " to a result of ", sizes);
    }
}

at::Tensor in_order(const std::optional<at::Tensor> &x) {
    return x.has_value() && x->defined() ? x->contiguous() : at::Tensor();
}

at::Tensor dense(
    const at::Tensor &x, const at::Tensor &weight, const std::optional<at::Tensor> &bias,
    const std::optional<at::Tensor> &norm_weight, const std::optional<at::Tensor> &norm_bias,
    const std::optional<at::Tensor> &residual, double epsilon, int64_t activation, int64_t cpu) {
    Inputs given = {in_order(x), in_order(weight), in_order(bias), in_order(norm_weight), in_order(norm_bias), in_order(residual)};
    check(given, activation);
    bool learns = false;
    if (at::GradMode::is_enabled()) {
        for (const auto &tensor : given) learns = learns || (tensor.defined() && tensor.requires_grad());
    }
    if (!learns) return compute(given, epsilon, activation, cpu, false).y;
    auto node = c10::make_intrusive<DenseBackward>();
    torch::autograd::edge_list edges;
    edges.reserve(INPUTS);
    for (const auto &tensor : given)
        edges.push_back(tensor.defined() ? torch::autograd::impl::gradient_edge(tensor) : torch::autograd::Edge());
    node->set_next_edges(std::move(edges));
    Kept kept = compute(given, epsilon, activation, cpu, true);
    for (int i = 0; i < RESIDUAL; ++i) node->given[i] = SavedVariable(given[i], false);
    node->slope = kept.slope;
    node->normed = kept.normed;
    node->statistics = kept.statistics;
    node->epsilon = epsilon;
    node->activation = activation;
    node->cpu = cpu;
    torch::autograd::set_history(kept.y, node);
    return kept.y;
}

} // namespace

TORCH_LIBRARY_FRAGMENT(martlet, library) {
    library.def(
        "dense(Tensor x, Tensor weight, Tensor? bias=None, Tensor? norm_weight=None, Tensor? norm_bias=None, "
        "Tensor? residual=None, float epsilon=0, int activation=0, int cpu=2) -> Tensor",
        &dense);
}

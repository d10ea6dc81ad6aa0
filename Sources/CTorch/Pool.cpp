// `martlet::max_pool2d`: the largest of each square of non-overlapping windows, with its gradient.
//
// libtorch's own pooling of [B, C, H, W] keeps an int64 index for each output and compares one at a time, an eighth
// of a small CNN's step. Here a window's winner is one byte, and rows are done in vectors.
#include "Internal.h"

#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>

#if defined(__x86_64__) && defined(__linux__)
#define FOR_EACH_CPU __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EACH_CPU
#endif

namespace {

struct Shape {
    int64_t planes, height, width, kernel;
    int64_t rows() const { return height / kernel; }
    int64_t columns() const { return width / kernel; }
};

// As libtorch does: the first of equals wins, and a NaN wins over everything.
template <typename T> inline void compete(T &best, uint8_t &winner, T value, uint8_t place) {
    bool wins = (value > best) | (value != value);
    best = wins ? value : best;
    winner = wins ? place : winner;
}

template <typename T>
inline __attribute__((always_inline)) void pool_pairs(
    const T *above, const T *below, T *output, uint8_t *winners, int64_t count) {
    for (int64_t j = 0; j < count; ++j) {
        T best = above[2 * j];
        uint8_t winner = 0;
        compete<T>(best, winner, above[2 * j + 1], 1);
        compete<T>(best, winner, below[2 * j], 2);
        compete<T>(best, winner, below[2 * j + 1], 3);
        output[j] = best;
        winners[j] = winner;
    }
}

typedef float floats __attribute__((vector_size(32)));
typedef int32_t ints __attribute__((vector_size(32)));
typedef uint8_t bytes __attribute__((vector_size(8)));

template <typename V, typename T> inline __attribute__((always_inline)) void load(const T *from, V &to) {
    std::memcpy(&to, from, sizeof(V));
}
template <typename V, typename T> inline __attribute__((always_inline)) void store(const V &from, T *to) {
    std::memcpy(to, &from, sizeof(V));
}

inline __attribute__((always_inline)) void compete(floats &best, ints &winner, const floats &value, int32_t place) {
    ints wins = (value > best) | (value != value);
    best = wins ? value : best;
    winner = wins ? (ints{} + place) : winner;
}

FOR_EACH_CPU void pool_row(const float *above, const float *below, float *output, uint8_t *winners, int64_t count) {
    if (count < 8) return pool_pairs(above, below, output, winners, count);
    // The last step goes back over some of the one before, rather than one by one over the rest.
    for (int64_t next = 0; next < count; next += 8) {
        int64_t j = std::min(next, count - 8);
        floats a, b, c, d;
        load(above + 2 * j, a);
        load(above + 2 * j + 8, b);
        load(below + 2 * j, c);
        load(below + 2 * j + 8, d);
        floats best = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
        ints winner = {};
        compete(best, winner, __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15), 1);
        compete(best, winner, __builtin_shufflevector(c, d, 0, 2, 4, 6, 8, 10, 12, 14), 2);
        compete(best, winner, __builtin_shufflevector(c, d, 1, 3, 5, 7, 9, 11, 13, 15), 3);
        store(best, output + j);
        store(__builtin_convertvector(winner, bytes), winners + j);
    }
}

FOR_EACH_CPU void pool_row(
    const double *above, const double *below, double *output, uint8_t *winners, int64_t count) {
    pool_pairs(above, below, output, winners, count);
}

template <typename T>
inline __attribute__((always_inline)) void spread_pairs(
    const T *grad, const uint8_t *winners, T *above, T *below, int64_t count) {
    for (int64_t j = 0; j < count; ++j) {
        above[2 * j] = winners[j] == 0 ? grad[j] : 0;
        above[2 * j + 1] = winners[j] == 1 ? grad[j] : 0;
        below[2 * j] = winners[j] == 2 ? grad[j] : 0;
        below[2 * j + 1] = winners[j] == 3 ? grad[j] : 0;
    }
}

inline __attribute__((always_inline)) void spread(const floats &grad, const ints &winner, int32_t place, float *to) {
    floats none = {};
    floats first = winner == place ? grad : none, second = winner == place + 1 ? grad : none;
    store(__builtin_shufflevector(first, second, 0, 8, 1, 9, 2, 10, 3, 11), to);
    store(__builtin_shufflevector(first, second, 4, 12, 5, 13, 6, 14, 7, 15), to + 8);
}

FOR_EACH_CPU void spread_row(const float *grad, const uint8_t *winners, float *above, float *below, int64_t count) {
    if (count < 8) return spread_pairs(grad, winners, above, below, count);
    for (int64_t next = 0; next < count; next += 8) {
        int64_t j = std::min(next, count - 8);
        floats g;
        bytes places;
        load(grad + j, g);
        load(winners + j, places);
        ints winner = __builtin_convertvector(places, ints);
        spread(g, winner, 0, above + 2 * j);
        spread(g, winner, 2, below + 2 * j);
    }
}

FOR_EACH_CPU void spread_row(
    const double *grad, const uint8_t *winners, double *above, double *below, int64_t count) {
    spread_pairs(grad, winners, above, below, count);
}

template <typename T> void pool_plane(const Shape &shape, const T *input, T *output, uint8_t *winners) {
    int64_t kernel = shape.kernel, columns = shape.columns();
    for (int64_t i = 0; i < shape.rows(); ++i, output += columns, winners += columns) {
        const T *row = input + i * kernel * shape.width;
        if (kernel == 2) {
            pool_row(row, row + shape.width, output, winners, columns);
            continue;
        }
        for (int64_t j = 0; j < columns; ++j) {
            T best = row[j * kernel];
            uint8_t winner = 0;
            for (int64_t place = 1; place < kernel * kernel; ++place) {
                T value = row[place / kernel * shape.width + j * kernel + place % kernel];
                compete<T>(best, winner, value, static_cast<uint8_t>(place));
            }
            output[j] = best;
            winners[j] = winner;
        }
    }
}

template <typename T> void spread_plane(const Shape &shape, const T *grad, const uint8_t *winners, T *result) {
    int64_t kernel = shape.kernel, columns = shape.columns(), covered = columns * kernel;
    if (kernel != 2) std::fill(result, result + shape.height * shape.width, T(0));
    for (int64_t i = 0; i < shape.rows(); ++i, grad += columns, winners += columns) {
        T *row = result + i * kernel * shape.width;
        if (kernel == 2) {
            spread_row(grad, winners, row, row + shape.width, columns);
            if (covered < shape.width) row[covered] = row[shape.width + covered] = 0;
            continue;
        }
        for (int64_t j = 0; j < columns; ++j) {
            int64_t place = winners[j];
            row[place / kernel * shape.width + j * kernel + place % kernel] = grad[j];
        }
    }
    if (kernel == 2 && shape.height % 2 == 1) {
        T *last = result + (shape.height - 1) * shape.width;
        std::fill(last, last + shape.width, T(0));
    }
}

template <typename Body> void for_planes(const Shape &shape, Body body) {
    int64_t grain = std::max<int64_t>(1, 32768 / std::max<int64_t>(1, shape.height * shape.width));
    ct_parallel_for(
        shape.planes, grain,
        [](int64_t begin, int64_t end, void *context) {
            for (int64_t plane = begin; plane < end; ++plane) (*static_cast<Body *>(context))(plane);
        },
        &body);
}

Shape shape_of(const at::Tensor &x, int64_t kernel) {
    return Shape{x.size(0) * x.size(1), x.size(2), x.size(3), kernel};
}

std::pair<at::Tensor, at::Tensor> pool(const at::Tensor &input, int64_t kernel) {
    auto x = input.contiguous();
    auto shape = shape_of(x, kernel);
    auto output = at::empty({x.size(0), x.size(1), shape.rows(), shape.columns()}, x.options());
    auto winners = at::empty(output.sizes(), x.options().dtype(at::kByte));
    int64_t from = shape.height * shape.width, to = shape.rows() * shape.columns();
    auto *byte = winners.mutable_data_ptr<uint8_t>();
    auto run = [&](auto *source, auto *target) {
        for_planes(shape, [=](int64_t p) { pool_plane(shape, source + p * from, target + p * to, byte + p * to); });
    };
    if (x.scalar_type() == at::kFloat) {
        run(x.const_data_ptr<float>(), output.mutable_data_ptr<float>());
    } else {
        run(x.const_data_ptr<double>(), output.mutable_data_ptr<double>());
    }
    return {output, winners};
}

class MaxPool : public torch::autograd::Function<MaxPool> {
  public:
    static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &x, int64_t kernel) {
        auto [output, winners] = pool(x, kernel);
        context->save_for_backward({winners});
        context->saved_data["kernel"] = kernel;
        context->saved_data["sizes"] = x.sizes().vec();
        return output;
    }

    static torch::autograd::variable_list backward(
        torch::autograd::AutogradContext *context, const torch::autograd::variable_list &grads) {
        auto winners = context->get_saved_variables()[0];
        auto grad = grads[0].contiguous();
        auto result = at::empty(context->saved_data["sizes"].toIntVector(), grad.options());
        auto shape = shape_of(result, context->saved_data["kernel"].toInt());
        int64_t to = shape.height * shape.width, from = shape.rows() * shape.columns();
        auto *byte = winners.const_data_ptr<uint8_t>();
        auto run = [&](auto *source, auto *target) {
            for_planes(
                shape, [=](int64_t p) { spread_plane(shape, source + p * from, byte + p * from, target + p * to); });
        };
        if (grad.scalar_type() == at::kFloat) {
            run(grad.const_data_ptr<float>(), result.mutable_data_ptr<float>());
        } else {
            run(grad.const_data_ptr<double>(), result.mutable_data_ptr<double>());
        }
        return {result, at::Tensor()};
    }
};

at::Tensor max_pool2d(const at::Tensor &x, int64_t kernel) {
    TORCH_CHECK_VALUE(x.dim() == 4, "max pooling takes [rows, channels, height, width], not ", x.sizes());
    TORCH_CHECK_VALUE(kernel >= 1 && kernel <= 15, "the window must be from 1 to 15 wide, not ", kernel);
    TORCH_CHECK_VALUE(
        x.size(2) >= kernel && x.size(3) >= kernel, "windows of ", kernel, " do not fit the shape ", x.sizes());
    TORCH_CHECK_TYPE(
        x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble),
        "takes float32 or float64 in host memory");
    if (at::GradMode::is_enabled() && x.requires_grad()) return MaxPool::apply(x, kernel);
    return pool(x, kernel).first;
}

} // namespace

TORCH_LIBRARY(martlet, library) { library.def("max_pool2d(Tensor x, int kernel) -> Tensor", &max_pool2d); }

// `martlet::winograd_conv2d`: 3×3 convolutions of stride 1 for inference, in a quarter of the multiplications.
//
// F(4×4, 3×3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015): each 4×4 square of the
// output is AᵀMA with M = Σ_c U·V, U = GwGᵀ made once from the weights, V = BᵀdB from a 6×6 square of the input.
// libtorch's own convolution does all nine multiplications, and NNPACK's of the same kind takes half as long again.
#include "Internal.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <memory>

#define INLINE inline __attribute__((always_inline))

namespace {

// An image of C channels, channels last, and its output of K channels; tiles are numbered over all images.
struct Shape {
    int64_t images, channels, height, width, outputs, padding;
    int64_t out_height() const { return height + 2 * padding - 2; }
    int64_t out_width() const { return width + 2 * padding - 2; }
    int64_t tile_rows() const { return (out_height() + 3) / 4; }
    int64_t tile_columns() const { return (out_width() + 3) / 4; }
    int64_t tiles() const { return images * tile_rows() * tile_columns(); }
};

struct Work {
    Shape shape;
    const float *input, *weight, *bias;
    float *output;
};

// W numbers side by side; `loose` ones may lie anywhere.
template <int W> struct Lanes {
    typedef float type __attribute__((vector_size(W * 4)));
    typedef float loose __attribute__((vector_size(W * 4), aligned(4)));
};
template <int W> INLINE typename Lanes<W>::loose &at(float *from) {
    return *reinterpret_cast<typename Lanes<W>::loose *>(from);
}
template <int W> INLINE const typename Lanes<W>::loose &at(const float *from) {
    return *reinterpret_cast<const typename Lanes<W>::loose *>(from);
}

template <typename V> INLINE void input_transform(const V d[6], V t[6]) {
    V a = d[4] - 4 * d[2], b = d[3] - 4 * d[1], c = d[4] - d[2], e = 2 * (d[3] - d[1]);
    t[0] = 4 * d[0] - 5 * d[2] + d[4];
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + e;
    t[4] = c - e;
    t[5] = 4 * d[1] - 5 * d[3] + d[5];
}

template <typename V> INLINE void output_transform(const V m[6], V t[4]) {
    V a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], e = m[3] - m[4];
    t[0] = m[0] + a + c;
    t[1] = b + 2 * e;
    t[2] = a + 4 * c;
    t[3] = b + 8 * e + m[5];
}

// One 6×6 square of W channels → 36 places, each `stride` apart.
template <int W> INLINE void transform_input(
    const Shape &shape, const float *image, int64_t top, int64_t left, float *to, int64_t stride) {
    typedef typename Lanes<W>::type V;
    V rows[6][6];
    for (int i = 0; i < 6; ++i) {
        V d[6];
        int64_t y = top + i;
        for (int j = 0; j < 6; ++j) {
            int64_t x = left + j;
            bool inside = y >= 0 && y < shape.height && x >= 0 && x < shape.width;
            d[j] = inside ? at<W>(image + (y * shape.width + x) * shape.channels) : V{};
        }
        input_transform(d, rows[i]);
    }
    for (int j = 0; j < 6; ++j) {
        V d[6], t[6];
        for (int i = 0; i < 6; ++i) d[i] = rows[i][j];
        input_transform(d, t);
        for (int i = 0; i < 6; ++i) at<W>(to + (i * 6 + j) * stride) = t[i];
    }
}

// 36 places of W outputs → a 4×4 square, as far as it lies in the image.
template <int W> INLINE void transform_output(
    const Work &work, const float *from, int64_t stride, int64_t output, float *image, int64_t top, int64_t left) {
    typedef typename Lanes<W>::type V;
    V rows[6][4];
    for (int i = 0; i < 6; ++i) {
        V m[6];
        for (int j = 0; j < 6; ++j) m[j] = at<W>(from + (i * 6 + j) * stride);
        output_transform(m, rows[i]);
    }
    V bias = work.bias != nullptr ? at<W>(work.bias + output) : V{};
    int64_t height = work.shape.out_height(), width = work.shape.out_width();
    for (int j = 0; j < 4 && left + j < width; ++j) {
        V m[6], t[4];
        for (int i = 0; i < 6; ++i) m[i] = rows[i][j];
        output_transform(m, t);
        for (int i = 0; i < 4 && top + i < height; ++i) {
            at<W>(image + ((top + i) * width + left + j) * work.shape.outputs) = t[i] + bias;
        }
    }
}

// [R, C] · [C, 2W of K] → [R, 2W of K].
template <int W, int R> INLINE void multiply(
    const float *left, const float *right, float *to, int64_t channels, int64_t outputs) {
    typedef typename Lanes<W>::type V;
    V sums[R][2] = {};
    for (int64_t c = 0; c < channels; ++c, right += outputs) {
        V first = at<W>(right), second = at<W>(right + W);
#pragma unroll
        for (int r = 0; r < R; ++r) {
            float value = left[r * channels + c];
            sums[r][0] += value * first;
            sums[r][1] += value * second;
        }
    }
#pragma unroll
    for (int r = 0; r < R; ++r) {
        at<W>(to + r * outputs) = sums[r][0];
        at<W>(to + r * outputs + W) = sums[r][1];
    }
}

// Tiles [begin, begin + count), R at a time; `scratch` holds 36 × rows × (C + K), rows a multiple of R.
template <int W, int R> INLINE void compute_tiles(const Work &work, int64_t begin, int64_t count, float *scratch) {
    const Shape &shape = work.shape;
    int64_t rows = (count + R - 1) / R * R;
    int64_t channels = shape.channels, outputs = shape.outputs;
    int64_t columns = shape.tile_columns(), per_image = shape.tile_rows() * columns;
    float *inputs = scratch, *products = scratch + 36 * rows * channels;
    for (int64_t tile = 0; tile < count; ++tile) {
        int64_t image = (begin + tile) / per_image, place = (begin + tile) % per_image;
        const float *from = work.input + image * shape.height * shape.width * channels;
        int64_t top = place / columns * 4 - shape.padding, left = place % columns * 4 - shape.padding;
        for (int64_t c = 0; c < channels; c += W) {
            transform_input<W>(shape, from + c, top, left, inputs + tile * channels + c, rows * channels);
        }
    }
    for (int64_t place = 0; place < 36; ++place) {
        const float *weight = work.weight + place * channels * outputs;
        for (int64_t k = 0; k < outputs; k += 2 * W) {
            for (int64_t row = 0; row < rows; row += R) {
                multiply<W, R>(
                    inputs + (place * rows + row) * channels, weight + k,
                    products + (place * rows + row) * outputs + k, channels, outputs);
            }
        }
    }
    for (int64_t tile = 0; tile < count; ++tile) {
        int64_t image = (begin + tile) / per_image, place = (begin + tile) % per_image;
        float *to = work.output + image * shape.out_height() * shape.out_width() * outputs;
        for (int64_t k = 0; k < outputs; k += W) {
            transform_output<W>(
                work, products + tile * outputs + k, rows * outputs, k, to + k, place / columns * 4,
                place % columns * 4);
        }
    }
}

typedef void (*Kernel)(const Work &, int64_t, int64_t, float *);
void compute_plain(const Work &work, int64_t begin, int64_t count, float *scratch) {
    compute_tiles<4, 6>(work, begin, count, scratch);
}
#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) void compute_avx2(
    const Work &work, int64_t begin, int64_t count, float *scratch) {
    compute_tiles<8, 6>(work, begin, count, scratch);
}
__attribute__((target("avx512f,avx2,fma"))) void compute_avx512(
    const Work &work, int64_t begin, int64_t count, float *scratch) {
    compute_tiles<16, 12>(work, begin, count, scratch);
}
#endif

// The kernel for this CPU, whose vectors the channels must fill.
Kernel kernel_for(int64_t channels, int64_t outputs) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && channels % 16 == 0 && outputs % 32 == 0) return compute_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return compute_avx2;
#endif
    return compute_plain;
}

// Most tiles that are done together: their products and the weights stay in the second-level cache.
constexpr int64_t tile_limit = 36;

void check_filter(const at::Tensor &weight) {
    TORCH_CHECK_VALUE(
        weight.dim() == 4 && weight.size(2) == 3 && weight.size(3) == 3, "takes 3×3 filters, not ", weight.sizes());
    TORCH_CHECK_VALUE(
        weight.size(0) % 16 == 0 && weight.size(1) % 8 == 0,
        "takes multiples of 8 input and 16 output channels, not ", weight.sizes());
    TORCH_CHECK_TYPE(weight.is_cpu() && weight.scalar_type() == at::kFloat, "takes float32 in host memory");
}

at::Tensor winograd_weight(const at::Tensor &weight) {
    check_filter(weight);
    auto g = at::tensor(
                 {6., 0., 0., -4., -4., -4., -4., 4., -4., 1., 2., 4., 1., -2., 4., 0., 0., 24.}, at::kDouble)
                 .view({6, 3})
                 .div(24);
    // [K, C, 3, 3] → [K, C, 6, 6] → [36, C, K]
    auto u = at::matmul(at::matmul(g, weight.to(at::kDouble)), g.t());
    return u.permute({2, 3, 1, 0}).reshape({36, weight.size(1), weight.size(0)}).to(at::kFloat).contiguous();
}

at::Tensor winograd_conv2d(
    const at::Tensor &x, const at::Tensor &weight, const std::optional<at::Tensor> &bias, int64_t padding) {
    TORCH_CHECK_VALUE(weight.dim() == 3 && weight.size(0) == 36, "the weight is not one of winograd_weight's");
    TORCH_CHECK_VALUE(
        x.dim() == 4 && x.size(1) == weight.size(1), "takes [rows, ", weight.size(1), ", height, width], not ",
        x.sizes());
    TORCH_CHECK_VALUE(padding >= 0 && padding <= 2, "the padding must be 0, 1 or 2, not ", padding);
    TORCH_CHECK_VALUE(
        x.size(2) + 2 * padding >= 3 && x.size(3) + 2 * padding >= 3, "3×3 filters do not fit the shape ", x.sizes());
    TORCH_CHECK_TYPE(x.is_cpu() && x.scalar_type() == at::kFloat, "takes float32 in host memory");
    TORCH_CHECK_VALUE(!bias || bias->numel() == weight.size(2), "the bias does not fit the outputs");
    Shape shape{x.size(0), x.size(1), x.size(2), x.size(3), weight.size(2), padding};
    auto input = x.contiguous(at::MemoryFormat::ChannelsLast);
    auto output = at::empty(
        {shape.images, shape.outputs, shape.out_height(), shape.out_width()},
        x.options().memory_format(at::MemoryFormat::ChannelsLast));
    if (output.numel() == 0) return output;
    at::Tensor offsets = bias ? bias->contiguous() : at::Tensor();
    Work work{shape, input.const_data_ptr<float>(), weight.const_data_ptr<float>(),
              offsets.defined() ? offsets.const_data_ptr<float>() : nullptr, output.mutable_data_ptr<float>()};
    auto kernel = kernel_for(shape.channels, shape.outputs);
    int64_t tiles = shape.tiles(), threads = at::get_num_threads();
    // Every thread gets some of a small batch, in whole steps of the kernel.
    int64_t step = std::min(tile_limit, ((tiles + threads - 1) / threads + 11) / 12 * 12);
    at::parallel_for(0, (tiles + step - 1) / step, 1, [&](int64_t begin, int64_t end) {
        std::unique_ptr<float[]> scratch(new float[36 * (step + 12) * (shape.channels + shape.outputs)]);
        for (int64_t block = begin; block < end; ++block) {
            kernel(work, block * step, std::min(step, tiles - block * step), scratch.get());
        }
    });
    return output;
}

} // namespace

TORCH_LIBRARY_FRAGMENT(martlet, library) {
    library.def("winograd_weight(Tensor weight) -> Tensor", &winograd_weight);
    library.def(
        "winograd_conv2d(Tensor x, Tensor weight, Tensor? bias, int padding) -> Tensor", &winograd_conv2d);
}

// A linear layer with the norm before it and the activation and the sum after it, and their gradient, for training.
//
// Rows are split between threads once for all of it, so that what one part leaves in the cache the next one finds; and
// the results do not depend on how they are split. M rows, K inputs, N outputs.
#include "products.h"
#include "training.h"

// Rows that are done one after another with the same panel, and rows that are added up at once into the gradient of a
// weight: a panel stays in the nearest cache.
enum { BLOCK = 48, DEPTH = 128 };
// Outputs that are turned at once where there are few rows: a share of the work is whole ones of these.
enum { TURNED = 16 };

INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t pieces(int64_t count, int64_t size) { return (count + size - 1) / size; }
INLINE int64_t share(int64_t count, int64_t part, int64_t parts) { return count * part / parts; }

// Sums over a row are done in as many lanes as the CPU has.
#define IN_LANES _Pragma("clang fp reassociate(on)")

INLINE void normalize(const ck_dense *d, int64_t row) {
    IN_LANES
    const float *x = d->x + row * d->inputs;
    float *out = d->normed + row * d->inputs;
    int64_t count = d->inputs;
    float sum = 0, square = 0;
    for (int64_t i = 0; i < count; ++i) sum += x[i];
    float mean = sum / (float)count;
    for (int64_t i = 0; i < count; ++i) square += (x[i] - mean) * (x[i] - mean);
    float scale = 1 / sqrtf(square / (float)count + d->epsilon);
    const float *weight = d->norm_weight, *bias = d->norm_bias;
    if (bias) {
        for (int64_t i = 0; i < count; ++i) out[i] = (x[i] - mean) * scale * weight[i] + bias[i];
    } else {
        for (int64_t i = 0; i < count; ++i) out[i] = (x[i] - mean) * scale * weight[i];
    }
    d->statistics[2 * row] = mean;
    d->statistics[2 * row + 1] = scale;
}

// `g` is the gradient of the norm's result on entry and that of its input on return; `sums` [2, K] adds up those of
// the weight and the bias.
INLINE void normalize_gradient(const ck_dense *d, int64_t row, float *g, float *sums) {
    IN_LANES
    const float *x = d->x + row * d->inputs, *weight = d->norm_weight;
    int64_t count = d->inputs;
    float mean = d->statistics[2 * row], scale = d->statistics[2 * row + 1], sum = 0, product = 0;
    for (int64_t i = 0; i < count; ++i) {
        float place = (x[i] - mean) * scale, part = g[i] * weight[i];
        sums[i] += g[i] * place;
        sums[count + i] += g[i];
        sum += part;
        product += part * place;
    }
    sum /= (float)count;
    product /= (float)count;
    for (int64_t i = 0; i < count; ++i)
        g[i] = scale * (g[i] * weight[i] - sum - (x[i] - mean) * scale * product);
}

// x·Φ(x) and its derivative Φ(x) + x·φ(x). Φ(-|x|) is e^(-x²/2) times a polynomial in 1/(1 + 0.3·|x|/√2): a fit to the
// scaled complementary error function within 2.4e-8 for |x| up to 14.
INLINE void gelu(const floats *x, floats *value, floats *slope) {
    floats t = 1.0f / (__builtin_elementwise_abs(*x) * 0.212132034f + 1.0f), e = exp_of(*x * *x * -0.5f);
    floats p = splat(-1.305585872e-1f);
    p = p * t + 4.907356067e-1f;
    p = p * t - 5.232991540e-1f;
    p = p * t + 5.607810246e-1f;
    p = p * t - 1.040486485e-1f;
    p = p * t + 2.191225103e-1f;
    p = p * t + 1.472054774e-1f;
    p = p * t + 1.708844098e-1f;
    p = p * t + 1.691773372e-1f;
    floats tail = p * t * e * 0.5f;
    floats below = select(*x < 0.0f, tail, 1.0f - tail);
    *value = *x * below;
    *slope = below + *x * e * 0.398942280f;
}

// x·(1 + tanh u)/2 with u = √(2/π)·(x + 0.044715·x³).
INLINE void gelu_tanh(const floats *x, floats *value, floats *slope) {
    floats square = *x * *x;
    floats h = tanh_of((square * 0.044715f + 1.0f) * *x * 0.797884561f);
    floats below = h * 0.5f + 0.5f;
    *value = *x * below;
    *slope = below + *x * 0.5f * (1.0f - h * h) * 0.797884561f * (square * 0.134145f + 1.0f);
}

INLINE void activate(const ck_dense *d, const floats *x, floats *value, floats *slope) {
    switch (d->activation) {
    case CK_DENSE_RELU: {
        // As libtorch does, a NaN stays one.
        *slope = select(*x <= 0.0f, splat(0), splat(1));
        *value = select(*x <= 0.0f, splat(0), *x);
        break;
    }
    case CK_DENSE_GELU: gelu(x, value, slope); break;
    default: gelu_tanh(x, value, slope); break;
    }
}

// What follows the product, for as many columns as a vector has.
INLINE void finish_lanes(const ck_dense *d, float *y, const float *bias, const float *residual, float *slope) {
    floats value, other;
    load(y, &value);
    if (bias) {
        load(bias, &other);
        value += other;
    }
    if (d->activation != CK_DENSE_NONE) {
        floats x = value;
        activate(d, &x, &value, &other);
        if (slope) store(&other, slope);
    }
    if (residual) {
        load(residual, &other);
        value += other;
    }
    store(&value, y);
}

// The same for columns [from, from + count) of one row.
INLINE void finish(const ck_dense *d, int64_t row, int64_t from, int64_t count) {
    int64_t at = row * d->outputs + from, i = 0;
    float *y = d->y + at, *slope = d->slope ? d->slope + at : 0;
    const float *bias = d->bias ? d->bias + from : 0, *residual = d->residual ? d->residual + at : 0;
    for (; i + CK_LANES <= count; i += CK_LANES)
        finish_lanes(d, y + i, bias ? bias + i : 0, residual ? residual + i : 0, slope ? slope + i : 0);
    if (i == count) return;
    float part[4][CK_LANES] = {{0}};
    size_t bytes = (size_t)(count - i) * sizeof(float);
    memcpy(part[0], y + i, bytes);
    if (bias) memcpy(part[1], bias + i, bytes);
    if (residual) memcpy(part[2], residual + i, bytes);
    finish_lanes(d, part[0], bias ? part[1] : 0, residual ? part[2] : 0, slope ? part[3] : 0);
    memcpy(y + i, part[0], bytes);
    if (slope) memcpy(slope + i, part[3], bytes);
}

// Rows [M, K] as they lie, panel `p` of their columns → [M rows, width], what is missing zero.
INLINE void pack_columns(
    const float *rows, int64_t columns, int64_t p, int64_t from, int64_t to, int64_t width, float *out) {
    int64_t first = p * width, count = smaller(columns - first, width);
    for (int64_t r = from; r < to; ++r) {
        memcpy(out + r * width, rows + r * columns + first, (size_t)count * sizeof(float));
        if (count < width) memset(out + r * width + count, 0, (size_t)(width - count) * sizeof(float));
    }
}

// Rows [N, K], panel `p` of them → [K, width], what is missing zero; of it columns [from, to).
INLINE void pack_rows(
    const float *rows, int64_t count, int64_t columns, int64_t p, int64_t from_column, int64_t to, int64_t width,
    float *out) {
    int64_t first = p * width, there = smaller(count - first, width);
    if (there < width) memset(out + from_column * width, 0, (size_t)((to - from_column) * width) * sizeof(float));
    for (int64_t k = from_column; k < to; k += CK_LANES) {
        int64_t end = smaller(k + CK_LANES, to);
        for (int64_t r = 0; r < there; ++r) {
            const float *from = rows + (first + r) * columns;
            for (int64_t i = k; i < end; ++i) out[i * width + r] = from[i];
        }
    }
}

INLINE void prepare_few(const ck_dense *d, int64_t part, int64_t width) {
    int64_t lanes = pieces(d->inputs, CK_LANES), from = share(lanes, part, d->parts) * CK_LANES;
    int64_t to = smaller(share(lanes, part + 1, d->parts) * CK_LANES, d->inputs);
    for (int64_t p = 0; from < to && p < pieces(d->rows, width); ++p)
        pack_rows(d->x, d->rows, d->inputs, p, from, to, width, d->packed + p * width * d->inputs);
}

INLINE void prepare(const ck_dense *d, int64_t part, int rows, int wide) {
    (void)rows;
    int64_t width = wide * CK_LANES, panels = pieces(d->outputs, width);
    if (d->few) return prepare_few(d, part, width);
    for (int64_t p = share(panels, part, d->parts); p < share(panels, part + 1, d->parts); ++p)
        pack_rows(d->weight, d->outputs, d->inputs, p, 0, d->inputs, width, d->packed + p * width * d->inputs);
    if (!d->norm_weight) return;
    for (int64_t r = share(d->rows, part, d->parts); r < share(d->rows, part + 1, d->parts); ++r) normalize(d, r);
}

// W·xᵀ by blocks of outputs, each turned as it is written.
INLINE void multiply_few(const ck_dense *d, int64_t part, int rows, int wide) {
    float turned[TURNED * CK_PANEL_LIMIT];
    int64_t width = wide * CK_LANES, blocks = pieces(d->outputs, TURNED);
    for (int64_t b = share(blocks, part, d->parts); b < share(blocks, part + 1, d->parts); ++b) {
        int64_t from = b * TURNED, count = smaller(d->outputs - from, TURNED);
        for (int64_t first = 0; first < d->rows; first += width) {
            panel(
                d->weight + from * d->inputs, d->inputs, 1, d->packed + first * d->inputs, width, d->inputs, turned,
                width, count, width, 0, rows, wide);
            for (int64_t r = first; r < smaller(first + width, d->rows); ++r) {
                float *y = d->y + r * d->outputs + from;
                for (int64_t n = 0; n < count; ++n) y[n] = turned[n * width + r - first];
                finish(d, r, from, count);
            }
        }
    }
}

INLINE void multiply(const ck_dense *d, int64_t part, int rows, int wide) {
    if (d->few) return multiply_few(d, part, rows, wide);
    int64_t width = wide * CK_LANES, panels = pieces(d->outputs, width), blocks = pieces(d->rows, BLOCK);
    const float *x = d->norm_weight ? d->normed : d->x;
    int finishes = d->bias || d->residual || d->activation != CK_DENSE_NONE;
    for (int64_t b = share(blocks, part, d->parts); b < share(blocks, part + 1, d->parts); ++b) {
        int64_t from = b * BLOCK, to = smaller(from + BLOCK, d->rows);
        for (int64_t p = 0; p < panels; ++p) {
            int64_t first = p * width, count = smaller(d->outputs - first, width);
            panel(
                x + from * d->inputs, d->inputs, 1, d->packed + first * d->inputs, width, d->inputs,
                d->y + from * d->outputs + first, d->outputs, to - from, count, 0, rows, wide);
            if (!finishes) continue;
            for (int64_t r = from; r < to; ++r) finish(d, r, first, count);
        }
    }
}

// The gradient before the activation, [N / rows of a tile, M, rows of a tile], and [M, N] where that is another than
// the given one.
INLINE void pack_gradient(const ck_dense *d, int64_t from, int64_t to, int rows) {
    int64_t n = d->outputs;
    for (int64_t r = from; r < to; ++r) {
        const float *gradient = d->gradient + r * n;
        if (d->slope) {
            const float *slope = d->slope + r * n;
            float *scaled = d->scaled + r * n;
            for (int64_t i = 0; i < n; ++i) scaled[i] = gradient[i] * slope[i];
            gradient = scaled;
        }
        if (!d->weight_gradient) continue;
        int64_t i = 0;
        for (; i + rows <= n; i += rows) {
            memcpy(d->packed_gradient + i * d->rows + r * rows, gradient + i, (size_t)rows * sizeof(float));
        }
        if (i < n) {
            float *out = d->packed_gradient + i * d->rows + r * rows;
            for (int j = 0; j < rows; ++j) out[j] = i + j < n ? gradient[i + j] : 0;
        }
    }
}

INLINE void prepare_gradient(const ck_dense *d, int64_t part, int rows, int wide) {
    int64_t width = wide * CK_LANES, panels = pieces(d->inputs, width);
    if (d->x_gradient) {
        int64_t from = share(d->outputs, part, d->parts), to = share(d->outputs, part + 1, d->parts);
        for (int64_t p = 0; p < panels; ++p)
            pack_columns(d->weight, d->inputs, p, from, to, width, d->packed + p * width * d->outputs);
    }
    pack_gradient(d, share(d->rows, part, d->parts), share(d->rows, part + 1, d->parts), rows);
}

// Of the input and the norm, for blocks of rows.
INLINE void input_gradient(const ck_dense *d, int64_t block, int rows, int wide) {
    int64_t width = wide * CK_LANES, panels = pieces(d->inputs, width);
    int64_t from = block * BLOCK, to = smaller(from + BLOCK, d->rows);
    const float *gradient = d->slope ? d->scaled : d->gradient;
    for (int64_t p = 0; p < panels; ++p) {
        int64_t first = p * width;
        panel(
            gradient + from * d->outputs, d->outputs, 1, d->packed + first * d->outputs, width, d->outputs,
            d->x_gradient + from * d->inputs + first, d->inputs, to - from, smaller(d->inputs - first, width), 0,
            rows, wide);
    }
    if (!d->norm_weight) return;
    float *sums = d->norm_sums + block * 2 * d->inputs;
    memset(sums, 0, 2 * (size_t)d->inputs * sizeof(float));
    for (int64_t r = from; r < to; ++r) normalize_gradient(d, r, d->x_gradient + r * d->inputs, sums);
}

// Of the weight, for outputs [first, end) and panel `p` of the inputs.
INLINE void weight_gradient(const ck_dense *d, int64_t p, int64_t first, int64_t end, int rows, int wide) {
    int64_t width = wide * CK_LANES, column = p * width, columns = smaller(d->inputs - column, width);
    const float *x = d->norm_weight ? d->normed : d->x;
    float packed[DEPTH * CK_PANEL_LIMIT];
    int64_t from = 0;
    // Once for no rows too: the gradient is then 0.
    do {
        int64_t depth = smaller(DEPTH, d->rows - from);
        pack_columns(x + from * d->inputs, d->inputs, p, 0, depth, width, packed);
        for (int64_t n = first; n < end; n += rows) {
            panel(
                d->packed_gradient + n * d->rows + from * rows, 1, rows, packed, width, depth,
                d->weight_gradient + n * d->inputs + column, d->inputs, smaller(end - n, rows), columns, from > 0, rows,
                wide);
        }
        from += DEPTH;
    } while (from < d->rows);
}

INLINE void bias_gradient(const ck_dense *d, int64_t first, int64_t end, int rows) {
    for (int64_t n = first; n < end; n += rows) {
        const float *packed = d->packed_gradient + n * d->rows;
        float sums[CK_TILE_ROWS] = {0};
        for (int64_t r = 0; r < d->rows; ++r) {
            for (int j = 0; j < rows; ++j) sums[j] += packed[r * rows + j];
        }
        for (int64_t j = 0; j < smaller(end - n, rows); ++j) d->bias_gradient[n + j] = sums[j];
    }
}

INLINE void multiply_gradient(const ck_dense *d, int64_t part, int rows, int wide) {
    if (d->x_gradient) {
        int64_t blocks = pieces(d->rows, BLOCK);
        for (int64_t b = share(blocks, part, d->parts); b < share(blocks, part + 1, d->parts); ++b)
            input_gradient(d, b, rows, wide);
    }
    if (!d->weight_gradient) return;
    // All outputs with the first panel of inputs, then all with the second …
    int64_t tiles = pieces(d->outputs, rows), all = tiles * pieces(d->inputs, wide * CK_LANES);
    int64_t next = share(all, part, d->parts), last = share(all, part + 1, d->parts);
    while (next < last) {
        int64_t p = next / tiles, tile = next % tiles, count = smaller(tiles - tile, last - next);
        int64_t first = tile * rows, end = smaller(first + count * rows, d->outputs);
        weight_gradient(d, p, first, end, rows, wide);
        if (p == 0 && d->bias_gradient) bias_gradient(d, first, end, rows);
        next += count;
    }
}

INLINE void stage(const ck_dense *d, int64_t begin, int64_t end, int rows, int wide) {
    for (int64_t part = begin; part < end; ++part) {
        switch (d->stage) {
        case CK_DENSE_PREPARE: prepare(d, part, rows, wide); break;
        case CK_DENSE_MULTIPLY: multiply(d, part, rows, wide); break;
        case CK_DENSE_PREPARE_GRADIENT: prepare_gradient(d, part, rows, wide); break;
        default: multiply_gradient(d, part, rows, wide); break;
        }
    }
}

int64_t ck_dense_blocks(int64_t rows) { return pieces(rows, BLOCK); }

#if defined(__x86_64__) && defined(__linux__)
__attribute__((target("arch=x86-64-v4"), min_vector_width(512))) static void stage_v4(
    const ck_dense *d, int64_t begin, int64_t end) {
    stage(d, begin, end, 8, 2);
}
__attribute__((target("arch=x86-64-v3"))) static void stage_v3(const ck_dense *d, int64_t begin, int64_t end) {
    stage(d, begin, end, 6, 1);
}
#endif

void ck_dense_run(int64_t begin, int64_t end, void *dense) {
#if defined(__x86_64__) && defined(__linux__)
    int32_t cpu = ck_cpu(((const ck_dense *)dense)->cpu);
    if (cpu == CK_CPU_AVX512) return stage_v4(dense, begin, end);
    if (cpu == CK_CPU_AVX2) return stage_v3(dense, begin, end);
#endif
    stage(dense, begin, end, 4, 1);
}

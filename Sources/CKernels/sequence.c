// Causal attention over whole sequences and its gradient: what training computes. The scores of a sequence are held at
// once, so sequences are short; longer ones are libtorch's.
#include "products.h"
#include "training.h"

enum { ROWS = 6 };

INLINE int32_t up(int32_t count) { return (count + CK_LANES - 1) / CK_LANES * CK_LANES; }

// A tile's product for any even number of columns, `wide` vectors at a time.
INLINE void columns(
    const float *a, int64_t a_row, int64_t a_next, const float *b, int64_t b_next, int32_t count, float *c,
    int64_t c_row, int32_t width, int adds, int rows, int wide) {
    int32_t j = 0;
    for (; j + wide * CK_LANES <= width; j += wide * CK_LANES)
        tile(a, a_row, a_next, b + j, b_next, count, c + j, c_row, adds, rows, wide);
    for (; j < width; j += CK_LANES) tile(a, a_row, a_next, b + j, b_next, count, c + j, c_row, adds, rows, 1);
}

INLINE void product(
    const float *a, int64_t a_row, int64_t a_next, const float *b, int64_t b_next, int32_t count, float *c,
    int64_t c_row, int32_t width, int adds, int rows, int wide) {
    switch (rows) {
    case 1: columns(a, a_row, a_next, b, b_next, count, c, c_row, width, adds, 1, wide); break;
    case 2: columns(a, a_row, a_next, b, b_next, count, c, c_row, width, adds, 2, wide); break;
    case 3: columns(a, a_row, a_next, b, b_next, count, c, c_row, width, adds, 3, wide); break;
    case 4: columns(a, a_row, a_next, b, b_next, count, c, c_row, width, adds, 4, wide); break;
    case 5: columns(a, a_row, a_next, b, b_next, count, c, c_row, width, adds, 5, wide); break;
    default: columns(a, a_row, a_next, b, b_next, count, c, c_row, width, adds, ROWS, wide); break;
    }
}

// [T, K] rows → [K, T rounded up], the rest zero.
INLINE void transposed(const float *rows, int64_t row, int32_t length, int32_t size, float *out) {
    int32_t wide = up(length);
    for (int32_t d = 0; d < size; ++d) {
        for (int32_t t = 0; t < length; ++t) out[d * wide + t] = rows[t * row + d];
        for (int32_t t = length; t < wide; ++t) out[d * wide + t] = 0;
    }
}

// Scores become e^(score·scale - m), 0 for keys after the query; the result is their sum. With `known` m is given.
INLINE float soften(float *row, int32_t query, int32_t width, float scale, float *m, int known) {
    if (!known) {
        float highest = row[0];
        for (int32_t j = 1; j <= query; ++j) highest = row[j] > highest ? row[j] : highest;
        *m = highest * scale;
    }
    for (int32_t j = query + 1; j < width; ++j) row[j] = -INFINITY;
    floats sums = {0};
    for (int32_t j = 0; j < width; j += CK_LANES) {
        floats x;
        load(row + j, &x);
        x = exp_of(x * scale - *m);
        sums += x;
        store(&x, row + j);
    }
    float sum = 0;
    for (int lane = 0; lane < CK_LANES; ++lane) sum += sums[lane];
    return sum;
}

INLINE void forward_head(const ck_sequence *s, const float *keys, int32_t t0, int32_t length, int32_t head, int wide) {
    int32_t size = s->size, group = head / (s->heads / s->groups), width = up(length);
    const float *q = s->q + t0 * s->q_stride + head * size, *v = s->v + t0 * s->v_stride + group * size;
    float *o = s->output + ((int64_t)t0 * s->heads + head) * size;
    float *statistic = s->statistics + (int64_t)t0 * s->heads + head;
    int64_t o_row = (int64_t)s->heads * size;
    float scores[ROWS * CK_SEQUENCE_LIMIT];
    for (int32_t i = 0; i < length; i += ROWS) {
        int rows = length - i < ROWS ? length - i : ROWS;
        int32_t seen = i + rows, seen_wide = up(seen);
        product(q + i * s->q_stride, s->q_stride, 1, keys, width, size, scores, width, seen_wide, 0, rows, wide);
        float factor[ROWS];
        for (int r = 0; r < rows; ++r) {
            float m = 0, sum = soften(scores + r * width, i + r, seen_wide, s->scale, &m, 0);
            statistic[(i + r) * s->heads] = m + logf(sum);
            factor[r] = 1 / sum;
        }
        product(scores, width, 1, v, s->v_stride, seen, o + i * o_row, o_row, size, 0, rows, wide);
        for (int r = 0; r < rows; ++r) {
            for (int32_t d = 0; d < size; ++d) o[(i + r) * o_row + d] *= factor[r];
        }
    }
}

// `p` and `ds` are [T, T rounded up].
INLINE void backward_head(
    const ck_sequence *s, const float *keys, const float *values, float *p, float *ds, int32_t t0, int32_t length,
    int32_t head, int wide) {
    int32_t size = s->size, share = s->heads / s->groups, group = head / share, width = up(length);
    int64_t o_row = (int64_t)s->heads * size, q_row = s->q_gradient_stride, k_row = s->k_gradient_stride;
    const float *q = s->q + t0 * s->q_stride + head * size, *k = s->k + t0 * s->k_stride + group * size;
    const float *o = s->output + t0 * o_row + head * size, *go = s->gradient + t0 * o_row + head * size;
    const float *statistic = s->statistics + (int64_t)t0 * s->heads + head;
    float *gq = s->q_gradient + t0 * q_row + head * size;
    float *gk = s->k_gradient + t0 * k_row + group * size, *gv = s->v_gradient + t0 * k_row + group * size;
    for (int32_t i = 0; i < length; i += ROWS) {
        int rows = length - i < ROWS ? length - i : ROWS;
        int32_t seen = i + rows, seen_wide = up(seen);
        float *pi = p + i * width, *di = ds + i * width;
        product(q + i * s->q_stride, s->q_stride, 1, keys, width, size, pi, width, seen_wide, 0, rows, wide);
        product(go + i * o_row, o_row, 1, values, width, size, di, width, seen_wide, 0, rows, wide);
        for (int r = 0; r < rows; ++r) {
            float m = statistic[(i + r) * s->heads], mean = 0;
            soften(pi + r * width, i + r, seen_wide, s->scale, &m, 1);
            for (int32_t d = 0; d < size; ++d) mean += go[(i + r) * o_row + d] * o[(i + r) * o_row + d];
            for (int32_t j = 0; j < seen_wide; j += CK_LANES) {
                floats weight, change;
                load(pi + r * width + j, &weight);
                load(di + r * width + j, &change);
                change = weight * (change - mean) * s->scale;
                store(&change, di + r * width + j);
            }
        }
        product(di, width, 1, k, s->k_stride, seen, gq + i * q_row, q_row, size, 0, rows, wide);
    }
    int adds = head % share != 0;
    for (int32_t j = 0; j < length; j += ROWS) {
        int rows = length - j < ROWS ? length - j : ROWS;
        // Queries before the tile's first key have no weight for it.
        int64_t from = (int64_t)j * width + j;
        product(p + from, 1, width, go + j * o_row, o_row, length - j, gv + j * k_row, k_row, size, adds, rows, wide);
        product(
            ds + from, 1, width, q + j * s->q_stride, s->q_stride, length - j, gk + j * k_row, k_row, size, adds, rows,
            wide);
    }
}

INLINE void items(const ck_sequence *s, int64_t begin, int64_t end, int wide) {
    int32_t share = s->heads / s->groups;
    for (int64_t item = begin; item < end; ++item) {
        int32_t sequence = (int32_t)(item / s->groups), group = (int32_t)(item % s->groups);
        int32_t t0 = s->starts[sequence], length = s->starts[sequence + 1] - t0, width = up(length);
        float *keys = s->scratch;
        transposed(s->k + t0 * s->k_stride + group * s->size, s->k_stride, length, s->size, keys);
        float *values = keys + (int64_t)s->size * width;
        if (s->gradient)
            transposed(s->v + t0 * s->v_stride + group * s->size, s->v_stride, length, s->size, values);
        float *p = values + (int64_t)s->size * width, *ds = p + (int64_t)length * width;
        for (int32_t h = group * share; h < (group + 1) * share; ++h) {
            if (s->gradient) {
                // A tile's first keys may be after its first queries: what was never written there must be 0.
                memset(p, 0, 2 * (size_t)length * width * sizeof(float));
                backward_head(s, keys, values, p, ds, t0, length, h, wide);
            } else {
                forward_head(s, keys, t0, length, h, wide);
            }
        }
    }
}

int64_t ck_sequence_scratch(const ck_sequence *s) {
    int64_t longest = 0;
    for (int32_t i = 0; i < s->count; ++i) {
        int64_t length = s->starts[i + 1] - s->starts[i];
        longest = length > longest ? length : longest;
    }
    int64_t width = up((int32_t)longest);
    return s->gradient ? 2 * (s->size + longest) * width : s->size * width;
}

#if defined(__x86_64__) && defined(__linux__)
__attribute__((target("arch=x86-64-v4"))) static void items_v4(const ck_sequence *s, int64_t begin, int64_t end) {
    items(s, begin, end, 2);
}
__attribute__((target("arch=x86-64-v3"))) static void items_v3(const ck_sequence *s, int64_t begin, int64_t end) {
    items(s, begin, end, 1);
}
#endif

void ck_sequence_run(int64_t begin, int64_t end, void *sequence) {
#if defined(__x86_64__) && defined(__linux__)
    int32_t cpu = ck_cpu(((const ck_sequence *)sequence)->cpu);
    if (cpu == CK_CPU_AVX512) return items_v4(sequence, begin, end);
    if (cpu == CK_CPU_AVX2) return items_v3(sequence, begin, end);
#endif
    items(sequence, begin, end, 1);
}

#include "CKernels.h"

#include "vectors.h"

// One pass over each head instead of the ten that the formula takes in whole tensors.
INLINE void rotate_rows(const ck_rotation *r, int64_t begin, int64_t end) {
    int32_t half = r->rotated / 2, rest = r->size - r->rotated, whole = half / CK_LANES * CK_LANES;
    for (int64_t row = begin; row < end; ++row) {
        const float *cosines = r->cosines + row * r->rotated, *sines = r->sines + row * r->rotated;
        for (int32_t head = 0; head < r->heads; ++head) {
            const float *x = r->input + row * r->stride + (int64_t)head * r->size;
            float *y = r->output + row * r->output_stride + (int64_t)head * r->size;
            for (int32_t i = 0; i < whole; i += CK_LANES) {
                floats a, b, c, s, d, t;
                load(x + i, &a);
                load(x + i + half, &b);
                load(cosines + i, &c);
                load(sines + i, &s);
                load(cosines + i + half, &d);
                load(sines + i + half, &t);
                c = a * c - b * s;
                d = b * d + a * t;
                store(&c, y + i);
                store(&d, y + i + half);
            }
            for (int32_t i = whole; i < half; ++i) {
                float a = x[i], b = x[i + half];
                y[i] = a * cosines[i] - b * sines[i];
                y[i + half] = b * cosines[i + half] + a * sines[i + half];
            }
            if (rest > 0 && x != y) memcpy(y + r->rotated, x + r->rotated, rest * sizeof(float));
        }
    }
}

INLINE void norm_rows(const ck_norm *n, int64_t begin, int64_t end) {
    int64_t whole = n->size / CK_LANES * CK_LANES;
    for (int64_t row = begin; row < end; ++row) {
        const float *x = n->input + row * n->size;
        float *y = n->output + row * n->size;
        floats sums = {0};
        for (int64_t i = 0; i < whole; i += CK_LANES) {
            floats v;
            load(x + i, &v);
            sums += v * v;
        }
        float sum = 0;
        for (int lane = 0; lane < CK_LANES; ++lane) sum += sums[lane];
        for (int64_t i = whole; i < n->size; ++i) sum += x[i] * x[i];
        float factor = 1 / sqrtf(sum / (float)n->size + n->epsilon);
        for (int64_t i = 0; i < n->size; ++i) y[i] = x[i] * factor * n->weight[i];
    }
}

INLINE void gate_rows(const ck_gate *g, int64_t begin, int64_t end) {
    int64_t whole = g->size / CK_LANES * CK_LANES, rest = g->size - whole;
    for (int64_t row = begin; row < end; ++row) {
        const float *x = g->gate + row * g->gate_stride, *up = g->up + row * g->up_stride;
        float *y = g->output + row * g->size;
        for (int64_t i = 0; i < g->size; i += CK_LANES) {
            floats a = {0}, b = {0};
            if (i < whole) {
                load(x + i, &a);
                load(up + i, &b);
            } else {
                memcpy(&a, x + i, rest * sizeof(float));
                memcpy(&b, up + i, rest * sizeof(float));
            }
            a = a / (1.0f + exp_of(-a)) * b;
            memcpy(y + i, &a, (i < whole ? CK_LANES : rest) * sizeof(float));
        }
    }
}

FOR_EACH_CPU void ck_gate_rows(int64_t begin, int64_t end, void *gate) { gate_rows(gate, begin, end); }
FOR_EACH_CPU void ck_rotate(int64_t begin, int64_t end, void *rotation) { rotate_rows(rotation, begin, end); }
FOR_EACH_CPU void ck_norm_rows(int64_t begin, int64_t end, void *norm) { norm_rows(norm, begin, end); }

#include "training.h"

#include "vectors.h"

// Φ(x) and e^(-x²/2). The error function is 7.1.26 of Abramowitz and Stegun's Handbook (1964): 1.5e-7 at the most.
INLINE floats normal_distribution(floats x, floats *density) {
    floats z = __builtin_elementwise_abs(x) * 0.70710678f;
    floats t = 1.0f / (1.0f + 0.3275911f * z);
    floats e = exp_of(-0.5f * x * x);
    floats p = splat(1.061405429f);
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    floats tail = 0.5f * p * t * e;
    *density = e;
    return select(x < 0.0f, tail, 1.0f - tail);
}

// √(2/π)·(x + 0.044715·x³) and its derivative.
INLINE floats tanh_argument(floats x, floats *slope) {
    floats square = x * x;
    *slope = 0.79788456f * (1.0f + 3.0f * 0.044715f * square);
    return 0.79788456f * x * (1.0f + 0.044715f * square);
}

INLINE floats gelu_of(floats x, int approximate) {
    floats other;
    if (approximate) return 0.5f * x * (1.0f + tanh_of(tanh_argument(x, &other)));
    return x * normal_distribution(x, &other);
}

INLINE floats gelu_slope(floats x, int approximate) {
    if (approximate) {
        floats slope, t = tanh_of(tanh_argument(x, &slope));
        return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * slope;
    }
    floats density, below = normal_distribution(x, &density);
    return below + x * density * 0.39894228f;
}

// The last vector is done over again where the numbers do not fill one: what it writes is written the same twice.
INLINE void gelu_range(const ck_gelu *g, int64_t begin, int64_t end, int approximate) {
    for (int64_t i = begin; i < end; i += CK_LANES) {
        floats x = {0}, grad = {0};
        int64_t room = end - i < CK_LANES ? end - i : CK_LANES;
        memcpy(&x, g->input + i, room * sizeof(float));
        floats y;
        if (g->gradient) {
            memcpy(&grad, g->gradient + i, room * sizeof(float));
            y = grad * gelu_slope(x, approximate);
        } else {
            y = gelu_of(x, approximate);
        }
        memcpy(g->output + i, &y, room * sizeof(float));
    }
}

FOR_EACH_CPU void ck_gelu_run(int64_t begin, int64_t end, void *gelu) {
    const ck_gelu *g = gelu;
    if (g->approximate) {
        gelu_range(g, begin, end, 1);
    } else {
        gelu_range(g, begin, end, 0);
    }
}

#include "CKernels.h"

#include <math.h>
#include <string.h>

// Eight blocks side by side: each word of the state is one vector of eight.
enum { LANES = 8 };
typedef uint32_t words __attribute__((vector_size(32)));
typedef uint64_t pairs __attribute__((vector_size(32)));

#if defined(__x86_64__) && defined(__linux__)
#define FOR_EACH_CPU __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EACH_CPU
#endif
#define INLINE static inline __attribute__((always_inline))

// The upper and lower halves of each word's product: the even words' first, then the odd ones'.
INLINE void multiply(const words *c, uint32_t factor, words *high, words *low) {
    const pairs lower = (pairs){} + 0xFFFFFFFFu, m = (pairs){} + factor;
    pairs even = ((pairs)*c & lower) * m, odd = ((pairs)*c >> 32) * m;
    *high = (words)((even >> 32) | (odd & ~lower));
    *low = (words)((even & lower) | (odd << 32));
}

INLINE void philox(const uint32_t key[2], words c[4]) {
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; ++round) {
        words high0, low0, high1, low1;
        multiply(&c[0], 0xD2511F53u, &high0, &low0);
        multiply(&c[2], 0xCD9E8D57u, &high1, &low1);
        c[0] = high1 ^ c[1] ^ k0;
        c[1] = low1;
        c[2] = high0 ^ c[3] ^ k1;
        c[3] = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

void ck_philox_block(const uint32_t key[2], const uint32_t counter[4], uint32_t output[4]) {
    words c[4];
    for (int w = 0; w < 4; ++w) c[w] = (words){} + counter[w];
    philox(key, c);
    for (int w = 0; w < 4; ++w) output[w] = c[w][0];
}

// The 32 words of one group, word by word over the lanes.
INLINE void group(const ck_random_key *key, int64_t index, uint32_t out[CK_GROUP]) {
    const words lanes = {0, 1, 2, 3, 4, 5, 6, 7};
    uint64_t first = (uint64_t)index * LANES;
    // Eight blocks from a multiple of eight never carry into the upper word.
    words c[4] = {
        lanes + (uint32_t)first, (words){} + (uint32_t)(first >> 32), (words){} + key->counter[0],
        (words){} + key->counter[1]};
    philox(key->key, c);
    memcpy(out, c, sizeof c);
}

static inline int64_t size_of(const ck_fill *fill, int64_t index) {
    int64_t left = fill->count - index * CK_GROUP;
    return left < CK_GROUP ? left : CK_GROUP;
}

FOR_EACH_CPU void ck_dropout_mask(int64_t begin, int64_t end, void *context) {
    const ck_fill *fill = context;
    double p = fill->first;
    // A word below the threshold drops its element; p = 1 drops all.
    uint64_t threshold = (uint64_t)(p * 4294967296.0);
    double kept = p < 1 ? 1 / (1 - p) : 0;
    for (int64_t g = begin; g < end; ++g) {
        uint32_t words[CK_GROUP];
        group(&fill->key, g, words);
        int64_t size = size_of(fill, g);
        if (fill->wide) {
            double *out = (double *)fill->output + g * CK_GROUP;
            for (int64_t i = 0; i < size; ++i) out[i] = words[i] < threshold ? 0 : kept;
        } else if (size == CK_GROUP) {
            float *out = (float *)fill->output + g * CK_GROUP, scale = (float)kept;
            uint32_t last = threshold == 0 ? 0 : (uint32_t)(threshold - 1);
            for (int i = 0; i < CK_GROUP; ++i) out[i] = words[i] > last || threshold == 0 ? scale : 0.0f;
        } else {
            float *out = (float *)fill->output + g * CK_GROUP, scale = (float)kept;
            for (int64_t i = 0; i < size; ++i) out[i] = words[i] < threshold ? 0.0f : scale;
        }
    }
}

// Two words make the 53 bits of a double in [0, 1): element i of a group reads word i of two neighbouring groups.
static inline double unit(uint32_t high, uint32_t low) {
    return (double)(((uint64_t)high << 21) ^ (low >> 11)) * 0x1p-53;
}

FOR_EACH_CPU void ck_uniform(int64_t begin, int64_t end, void *context) {
    const ck_fill *fill = context;
    double low = fill->first, width = fill->second - fill->first;
    for (int64_t g = begin; g < end; ++g) {
        uint32_t high[CK_GROUP], rest[CK_GROUP];
        group(&fill->key, 2 * g, high);
        group(&fill->key, 2 * g + 1, rest);
        int64_t size = size_of(fill, g);
        for (int64_t i = 0; i < size; ++i) {
            double value = low + width * unit(high[i], rest[i]);
            if (fill->wide) {
                ((double *)fill->output)[g * CK_GROUP + i] = value;
            } else {
                ((float *)fill->output)[g * CK_GROUP + i] = (float)value;
            }
        }
    }
}

// Box and Muller's transform; the two values of a pair go to two elements of the same group.
FOR_EACH_CPU void ck_normal(int64_t begin, int64_t end, void *context) {
    const ck_fill *fill = context;
    for (int64_t g = begin; g < end; ++g) {
        uint32_t high[CK_GROUP], rest[CK_GROUP];
        double values[CK_GROUP];
        group(&fill->key, 2 * g, high);
        group(&fill->key, 2 * g + 1, rest);
        for (int i = 0; i < CK_GROUP; i += 2) {
            double radius = sqrt(-2 * log(1 - unit(high[i], rest[i])));
            double angle = 6.283185307179586 * unit(high[i + 1], rest[i + 1]);
            values[i] = fill->first + fill->second * radius * cos(angle);
            values[i + 1] = fill->first + fill->second * radius * sin(angle);
        }
        int64_t size = size_of(fill, g);
        for (int64_t i = 0; i < size; ++i) {
            if (fill->wide) {
                ((double *)fill->output)[g * CK_GROUP + i] = values[i];
            } else {
                ((float *)fill->output)[g * CK_GROUP + i] = (float)values[i];
            }
        }
    }
}

void ck_permutation(ck_random_key key, int64_t *output, int64_t count) {
    uint32_t words[CK_GROUP];
    int64_t next = 0, taken = CK_GROUP / 2;
    for (int64_t i = 0; i < count; ++i) output[i] = i;
    for (int64_t i = count - 1; i > 0; --i) {
        uint64_t bound = (uint64_t)i + 1, number;
        // Numbers past the last whole multiple of the bound are thrown away, or the order would be uneven.
        uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
        do {
            if (taken == CK_GROUP / 2) {
                group(&key, next++, words);
                taken = 0;
            }
            number = (uint64_t)words[2 * taken] << 32 | words[2 * taken + 1];
            ++taken;
        } while (number >= limit);
        int64_t j = (int64_t)(number % bound), kept = output[i];
        output[i] = output[j];
        output[j] = kept;
    }
}

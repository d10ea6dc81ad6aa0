#include "CKernels.h"

#include "cpu.h"
#include "halves.h"

// Rows that one tile computes together: with 16 keys that is 12 registers of AVX2, which leaves room for the keys.
enum { TILE = 6, BLOCK_PAGES = 4, BLOCK = BLOCK_PAGES * CK_PAGE };

typedef struct {
    int rows;
    float q[TILE * CK_HEAD_LIMIT];
    float output[TILE * CK_HEAD_LIMIT];
    float scores[TILE * BLOCK];
    float highest[TILE], sum[TILE];
    // The keys that each row sees.
    int32_t first[TILE], last[TILE];
} tile;

INLINE int64_t tiles_of(const ck_attention *a, const ck_chunk *chunk) {
    return ((int64_t)chunk->count * (a->heads / a->groups) + TILE - 1) / TILE;
}

int64_t ck_attention_items(const ck_attention *a) {
    int64_t tiles = 0;
    for (int32_t c = 0; c < a->chunk_count; ++c) tiles += tiles_of(a, &a->chunks[c]);
    return tiles * a->groups;
}

INLINE int32_t padded(int32_t size) { return (size + CK_LANES - 1) / CK_LANES * CK_LANES; }

static void write_words(const ck_attention *a, int64_t page, int32_t slot, const float *k, const float *v) {
    int32_t size = a->size;
    float *keys = (float *)a->keys + page * size * CK_PAGE + slot;
    for (int32_t d = 0; d < size; ++d) keys[d * CK_PAGE] = k[d];
    memcpy((float *)a->values + (page * CK_PAGE + slot) * padded(size), v, size * sizeof(float));
}

// Rounds a head, whose last vector may be a part of one.
INLINE void round_head(const float *from, int32_t size, uint16_t *to) {
    for (int32_t d = 0; d < size; d += CK_LANES) {
        floats numbers = {0};
        memcpy(&numbers, from + d, (size - d < CK_LANES ? size - d : CK_LANES) * sizeof(float));
        store_halves(&numbers, to + d);
    }
}

FOR_EACH_CPU static void write_halves(
    const ck_attention *a, int64_t page, int32_t slot, const float *k, const float *v) {
    int32_t size = a->size;
    uint16_t head[CK_HEAD_LIMIT], *keys = (uint16_t *)a->keys + page * size * CK_PAGE + slot;
    round_head(k, size, head);
    for (int32_t d = 0; d < size; ++d) keys[d * CK_PAGE] = head[d];
    round_head(v, size, (uint16_t *)a->values + (page * CK_PAGE + slot) * padded(size));
}

void ck_attention_write(int64_t begin, int64_t end, void *context) {
    const ck_attention *a = context;
    for (int64_t g = begin; g < end; ++g) {
        for (int32_t c = 0; c < a->chunk_count; ++c) {
            const ck_chunk *chunk = &a->chunks[c];
            for (int32_t t = 0; t < chunk->count; ++t) {
                int32_t place = chunk->start + t, slot = place % CK_PAGE;
                int64_t page = a->blocks[chunk->pages + place / CK_PAGE] * (int64_t)a->groups + g;
                int64_t row = chunk->row + t;
                const float *k = a->k + row * a->k_stride + g * a->size, *v = a->v + row * a->v_stride + g * a->size;
                a->is_half ? write_halves(a, page, slot, k, v) : write_words(a, page, slot, k, v);
            }
        }
    }
}

// Scores of `rows` rows against the keys of one page, which lie side by side for each dimension. Pages lie anywhere, so
// that the CPU cannot foresee the keys of the next one and this one's values: they are asked for here.
INLINE void page_scores(
    const tile *t, const char *keys, const char *next, const char *values, int32_t size, float *scores, int rows,
    int form) {
    floats sum[TILE] = {0};
    int64_t width = width_of(form);
    for (int32_t d = 0; d < size; ++d) {
        __builtin_prefetch(next + d * width, 0, 2);
        __builtin_prefetch(values + d * width, 0, 2);
        floats key = numbers_at(keys + d * width, form);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; ++r) sum[r] += key * t->q[r * size + d];
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) store(&sum[r], scores + r * BLOCK);
}

// Adds weight times value of `count` keys of one page to each row's output.
INLINE void page_values(
    tile *t, const char *values, int32_t wide, const float *weights, int32_t count, int rows, int form) {
    int64_t number = width_of(form) / CK_LANES;
    for (int32_t d = 0; d < wide; d += CK_LANES) {
        floats sum[TILE];
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; ++r) load(t->output + r * wide + d, &sum[r]);
        for (int32_t j = 0; j < count; ++j) {
            floats value = numbers_at(values + (j * wide + d) * number, form);
#pragma clang loop unroll(full)
            for (int r = 0; r < rows; ++r) sum[r] += value * weights[r * BLOCK + j];
        }
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; ++r) store(&sum[r], t->output + r * wide + d);
    }
}

// Turns scores into weights and brings what was added up before to the new maximum (Milakov and Gimelshein, 2018).
INLINE void weigh(const ck_attention *a, tile *t, int r, int32_t place, int32_t wide) {
    float *scores = t->scores + r * BLOCK;
    floats block[BLOCK_PAGES];
    floats best = splat(-1e30f);
    const ints lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int p = 0; p < BLOCK_PAGES; ++p) {
        load(scores + p * CK_PAGE, &block[p]);
        if (a->softcap > 0) block[p] = a->softcap * tanh_of(block[p] * (1 / a->softcap));
        int32_t from = place + p * CK_PAGE;
        if (from + CK_PAGE - 1 > t->last[r] || from < t->first[r]) {
            ints at = lanes + from;
            block[p] = select((at <= t->last[r]) & (at >= t->first[r]), block[p], splat(-INFINITY));
        }
        best = __builtin_elementwise_max(best, block[p]);
    }
    float before = t->highest[r], highest = __builtin_reduce_max(best);
    if (highest < before) highest = before;
    floats sum = {0};
    for (int p = 0; p < BLOCK_PAGES; ++p) {
        block[p] = exp_of(block[p] - highest);
        sum += block[p];
        store(&block[p], scores + p * CK_PAGE);
    }
    float total = 0;
    for (int i = 0; i < CK_LANES; ++i) total += sum[i];
    if (highest > before) {
        floats scale = exp_of(splat(before - highest));
        for (int32_t d = 0; d < wide; d += CK_LANES) {
            floats o;
            load(t->output + r * wide + d, &o);
            o *= scale;
            store(&o, t->output + r * wide + d);
        }
        t->sum[r] *= scale[0];
        t->highest[r] = highest;
    }
    t->sum[r] += total;
}

INLINE void run_rows(
    const ck_attention *a, const ck_chunk *chunk, int64_t group, tile *t, int32_t first, int32_t last, int rows,
    int form) {
    int32_t size = a->size, wide = padded(size);
    // Bytes of a head's keys, and of its values, in one page.
    int64_t key_bytes = size * width_of(form), value_bytes = wide * width_of(form);
    const int32_t *blocks = a->blocks + chunk->pages;
    for (int32_t place = first / CK_PAGE * CK_PAGE; place <= last; place += BLOCK) {
        int32_t end = last - place + 1 < BLOCK ? last - place + 1 : BLOCK;
        for (int32_t p = 0; p * CK_PAGE < end; ++p) {
            int64_t page = blocks[place / CK_PAGE + p] * (int64_t)a->groups + group;
            const char *all = a->keys, *keys = all + page * key_bytes, *next = keys;
            int32_t after = place / CK_PAGE + p + 1;
            if (after <= last / CK_PAGE) next = all + (blocks[after] * (int64_t)a->groups + group) * key_bytes;
            const char *values = (const char *)a->values + page * value_bytes;
            page_scores(t, keys, next, values, size, t->scores + p * CK_PAGE, rows, form);
        }
        for (int r = 0; r < rows; ++r) weigh(a, t, r, place, wide);
        for (int32_t p = 0; p * CK_PAGE < end; ++p) {
            int64_t page = blocks[place / CK_PAGE + p] * (int64_t)a->groups + group;
            int32_t count = end - p * CK_PAGE < CK_PAGE ? end - p * CK_PAGE : CK_PAGE;
            const char *values = (const char *)a->values + page * value_bytes;
            page_values(t, values, wide, t->scores + p * CK_PAGE, count, rows, form);
        }
    }
}

INLINE void run_tile(
    const ck_attention *a, const ck_chunk *chunk, int64_t group, int64_t index, tile *t, int form) {
    int32_t size = a->size, wide = padded(size), shared = a->heads / a->groups;
    int64_t from = index * TILE, all = (int64_t)chunk->count * shared;
    t->rows = (int)(all - from < TILE ? all - from : TILE);
    int32_t first = INT32_MAX, last = 0;
    memset(t->output, 0, sizeof(float) * TILE * wide);
    for (int r = 0; r < t->rows; ++r) {
        int64_t token = (from + r) / shared, head = group * shared + (from + r) % shared;
        const float *q = a->q + (chunk->row + token) * a->q_stride + head * size;
        for (int32_t d = 0; d < size; ++d) t->q[r * size + d] = q[d] * a->scale;
        t->last[r] = chunk->start + (int32_t)token;
        t->first[r] = a->window > 0 && t->last[r] >= a->window ? t->last[r] - a->window + 1 : 0;
        if (t->first[r] < first) first = t->first[r];
        if (t->last[r] > last) last = t->last[r];
        t->highest[r] = -1e30f;
        t->sum[r] = 0;
    }
    switch (t->rows) {
    case 1: run_rows(a, chunk, group, t, first, last, 1, form); break;
    case 2: run_rows(a, chunk, group, t, first, last, 2, form); break;
    case 3: run_rows(a, chunk, group, t, first, last, 3, form); break;
    case 4: run_rows(a, chunk, group, t, first, last, 4, form); break;
    case 5: run_rows(a, chunk, group, t, first, last, 5, form); break;
    default: run_rows(a, chunk, group, t, first, last, TILE, form); break;
    }
    for (int r = 0; r < t->rows; ++r) {
        int64_t token = (from + r) / shared, head = group * shared + (from + r) % shared;
        float *output = a->output + ((chunk->row + token) * a->heads + head) * size;
        float factor = 1 / t->sum[r];
        for (int32_t d = 0; d < size; ++d) output[d] = t->output[r * wide + d] * factor;
    }
}

// Heads come outermost, so that even parts of the items are even parts of the work.
INLINE void run_items(int64_t begin, int64_t end, const ck_attention *a, int form) {
    int64_t tiles = ck_attention_items(a) / a->groups;
    tile t;
    int64_t group = begin / tiles, index = begin % tiles;
    int32_t c = 0;
    while (index >= tiles_of(a, &a->chunks[c])) index -= tiles_of(a, &a->chunks[c++]);
    for (int64_t item = begin; item < end; ++item) {
        run_tile(a, &a->chunks[c], group, index, &t, form);
        if (++index < tiles_of(a, &a->chunks[c])) continue;
        index = 0;
        if (++c < a->chunk_count) continue;
        c = 0;
        ++group;
    }
}

#define RUN(cpu, target, halves) \
    target static void run_##cpu(int64_t begin, int64_t end, const ck_attention *a) { \
        a->is_half ? run_items(begin, end, a, halves) : run_items(begin, end, a, IN_WORDS); \
    }
#if defined(__x86_64__)
RUN(avx512, FOR_AVX512, IN_HALVES)
RUN(avx2, FOR_AVX2, IN_HALVES)
#endif
RUN(plain, , PLAIN_HALVES)

void ck_attention_run(int64_t begin, int64_t end, void *context) {
    const ck_attention *a = context;
#if defined(__x86_64__)
    int32_t cpu = ck_cpu(a->cpu);
    if (cpu == CK_CPU_AVX512) return run_avx512(begin, end, a);
    if (cpu == CK_CPU_AVX2) return run_avx2(begin, end, a);
#endif
    run_plain(begin, end, a);
}

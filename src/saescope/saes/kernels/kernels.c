/* The loops of the sparse path that stock PyTorch has no fast operator for. Plain C with OpenMP; compiled.py builds and loads it.
   Same results as sparse_ops.py and select.py, whose tests run over both. */
#include <float.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline float from_bf16(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
static inline float from_fp32(float x) { return x; }

/* The k-th largest of a[0..n), which is reordered; 1 <= k <= n. */
static float kth_largest(float *a, long n, long k) {
    long low = 0, high = n - 1;
    while (low < high) {
        float pivot = a[(low + high) / 2];
        long i = low, j = high;
        while (i <= j) {
            while (a[i] > pivot) i++;
            while (a[j] < pivot) j--;
            if (i <= j) { float t = a[i]; a[i++] = a[j]; a[j--] = t; }
        }
        if (k - 1 <= j) high = j;
        else if (k - 1 >= i) low = i;
        else break;
    }
    return a[k - 1];
}

/* For each row the entries that may be kept: at least floor[latent], and at least the k-th largest maximum of blocks, less `slack`.
   latents[row][0..counts[row]) are their places, in order; a row with more than `room` says how many it has, and keeps none. */
#define SELECT(NAME, T, LOAD)                                                                                                        \
void NAME(const T *scores, long rows, long n, const float *floor, long k, long block, float slack,                                   \
          int32_t *latents, long room, int64_t *counts) {                                                                            \
    long blocks = (n + block - 1) / block;                                                                                           \
    _Pragma("omp parallel")                                                                                                          \
    {                                                                                                                                \
        float *most = malloc(2 * blocks * sizeof(float)), *scratch = most + blocks;                                                  \
        _Pragma("omp for schedule(static)")                                                                                          \
        for (long r = 0; r < rows; r++) {                                                                                            \
            const T *row = scores + r * n;                                                                                           \
            for (long b = 0; b < blocks; b++) {                                                                                      \
                long end = (b + 1) * block < n ? (b + 1) * block : n;                                                                \
                float m = -FLT_MAX;                                                                                                 \
                for (long i = b * block; i < end; i++) { float v = LOAD(row[i]); m = v > m ? v : m; }                                \
                most[b] = m;                                                                                                         \
            }                                                                                                                        \
            float cut = -FLT_MAX;                                                                                                   \
            if (k) { memcpy(scratch, most, blocks * sizeof(float)); cut = kth_largest(scratch, blocks, k) - slack; }                 \
            long found = 0;                                                                                                          \
            for (long b = 0; b < blocks; b++) {                                                                                      \
                if (most[b] < cut) continue;                                                                                         \
                long end = (b + 1) * block < n ? (b + 1) * block : n;                                                                \
                for (long i = b * block; i < end; i++) {                                                                             \
                    float v = LOAD(row[i]);                                                                                          \
                    if (v >= cut && v >= floor[i]) { if (found < room) latents[r * room + found] = (int32_t)i; found++; }            \
                }                                                                                                                    \
            }                                                                                                                        \
            counts[r] = found;                                                                                                       \
        }                                                                                                                            \
        free(most);                                                                                                                  \
    }                                                                                                                                \
}
SELECT(select_bf16, uint16_t, from_bf16)
SELECT(select_fp32, float, from_fp32)

/* out[p] = <a[token[p]], b[latent[p]]>, rows of d numbers. */
void row_products(const float *a, const float *b, const int64_t *token, const int64_t *latent, long n, long d, float *out) {
    _Pragma("omp parallel for schedule(static)")
    for (long p = 0; p < n; p++) {
        const float *u = a + token[p] * d, *v = b + latent[p] * d;
        if (p + 2 < n) for (long i = 0; i < d; i += 64) __builtin_prefetch(b + latent[p + 2] * d + i);
        float sum = 0;
        for (long i = 0; i < d; i++) sum += u[i] * v[i];
        out[p] = sum;
    }
}

/* The loops of the sparse path that stock PyTorch has no fast operator for. Plain C with OpenMP; compiled.py builds and loads it.
   Same results as sparse_ops.py and select.py, whose tests run over both. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDING 0x1p-8f  /* kernels.ROUNDING */

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

/* Of the n values the k largest, in order; of equal ones the first that fit. Returns how many. */
static long keep_largest(int64_t *latent, float *value, long n, long k, float *copy) {
    if (n <= k) return n;
    memcpy(copy, value, n * sizeof(float));
    float least = kth_largest(copy, n, k);
    long equal = k, kept = 0;
    for (long j = 0; j < n; j++) equal -= value[j] > least;
    for (long j = 0; j < n; j++)
        if (value[j] > least || (value[j] == least && equal-- > 0)) { latent[kept] = latent[j]; value[kept++] = value[j]; }
    return kept;
}

static inline float dot(const float *u, const float *v, long d) {
    float sum = 0;
    for (long i = 0; i < d; i++) sum += u[i] * v[i];
    return sum;
}
static inline void prefetch(const float *row, long d) {
    for (long i = 0; i < d; i += 16) __builtin_prefetch(row + i);
}

/* Stock.choose for rows of scores: latents[row][0..counts[row]) and values, in order of the latents.
   Without slack scores + bias are the values. A row with more than `room` says how many it has to look at, and keeps none;
   uncertain[row] says whether a score was off by more than allowed. */
#define CHOOSE(NAME, T, LOAD)                                                                                                        \
void NAME(const T *scores, const float *x, const float *w, const float *bias, const float *floor, const float *slack, long rows,     \
          long n, long d, long k, long block, long room, int64_t *latents, float *values, int64_t *counts, int8_t *uncertain) {      \
    long blocks = (n + block - 1) / block;                                                                                           \
    _Pragma("omp parallel")                                                                                                          \
    {                                                                                                                                \
        float *most = malloc((2 * blocks + room) * sizeof(float)), *scratch = most + blocks, *copy = scratch + blocks;               \
        _Pragma("omp for schedule(static)")                                                                                          \
        for (long r = 0; r < rows; r++) {                                                                                            \
            const T *row = scores + r * n;                                                                                           \
            float off = slack ? slack[r] : 0, rounding = slack ? ROUNDING : 0;                                                       \
            for (long b = 0; b < blocks; b++) {                                                                                      \
                long end = (b + 1) * block < n ? (b + 1) * block : n;                                                                \
                float m = -FLT_MAX;                                                                                                  \
                for (long i = b * block; i < end; i++) { float v = LOAD(row[i]) + bias[i]; m = v > m ? v : m; }                      \
                most[b] = m;                                                                                                         \
            }                                                                                                                        \
            float cut = -FLT_MAX;                                                                                                    \
            if (k) {                                                                                                                 \
                memcpy(scratch, most, blocks * sizeof(float));                                                                       \
                cut = kth_largest(scratch, blocks, k < blocks ? k : blocks);                                                         \
                cut -= 2 * (off + rounding * fabsf(cut));                                                                            \
            }                                                                                                                        \
            int64_t *mine = latents + r * room;                                                                                      \
            float *value = values + r * room;                                                                                        \
            long found = 0, kept = 0;                                                                                                \
            for (long b = 0; b < blocks; b++) {                                                                                      \
                if (most[b] < cut) continue;                                                                                         \
                long end = (b + 1) * block < n ? (b + 1) * block : n;                                                                \
                for (long i = b * block; i < end; i++) {                                                                             \
                    float v = LOAD(row[i]) + bias[i];                                                                                \
                    if (v < cut || v < floor[i] - off - rounding * fabsf(floor[i])) continue;                                        \
                    if (found < room) { mine[found] = i; value[found] = v; }                                                         \
                    found++;                                                                                                         \
                }                                                                                                                    \
            }                                                                                                                        \
            counts[r] = found;                                                                                                       \
            uncertain[r] = 0;                                                                                                        \
            if (found > room) continue;                                                                                              \
            for (long j = 0; j < found; j++) {                                                                                       \
                long i = mine[j];                                                                                                    \
                float v = value[j];                                                                                                  \
                if (slack) {                                                                                                         \
                    if (j + 2 < found) prefetch(w + mine[j + 2] * d, d);                                                             \
                    float exact = dot(x + r * d, w + i * d, d) + bias[i];                                                            \
                    uncertain[r] |= fabsf(exact - v) > off + rounding * fabsf(v);                                                    \
                    v = exact;                                                                                                       \
                }                                                                                                                    \
                if (v > floor[i]) { mine[kept] = i; value[kept++] = v; }                                                             \
            }                                                                                                                        \
            counts[r] = k ? keep_largest(mine, value, kept, k, copy) : kept;                                                         \
        }                                                                                                                            \
        free(most);                                                                                                                  \
    }                                                                                                                                \
}
CHOOSE(choose_bf16, uint16_t, from_bf16)
CHOOSE(choose_fp32, float, from_fp32)

/* The first counts[r] places of every row, one row after the other; starts[r] is where row r begins. */
void flatten(const int64_t *latents, const float *values, const int64_t *counts, const int64_t *starts, long rows, long room,
             int64_t *row, int64_t *latent, float *value) {
    _Pragma("omp parallel for schedule(static)")
    for (long r = 0; r < rows; r++) {
        memcpy(latent + starts[r], latents + r * room, counts[r] * sizeof(int64_t));
        memcpy(value + starts[r], values + r * room, counts[r] * sizeof(float));
        for (long j = 0; j < counts[r]; j++) row[starts[r] + j] = r;
    }
}

/* out[p] = <a[token[p]], b[latent[p]]>, rows of d numbers. */
void row_products(const float *a, const float *b, const int64_t *token, const int64_t *latent, long n, long d, float *out) {
    _Pragma("omp parallel for schedule(static)")
    for (long p = 0; p < n; p++) {
        const float *u = a + token[p] * d, *v = b + latent[p] * d;
        if (p + 2 < n) prefetch(b + latent[p + 2] * d, d);
        out[p] = dot(u, v, d);
    }
}

/* Stock.decode_gradients: pairs sorted by latent, those of latent s from starts[s] on; each row of g is read once. */
void decode_gradients(const float *g, const float *w, const int64_t *token, const float *value, const int64_t *starts, long d_sae,
                      long m, long d, float *dvalue, float *dw) {
    _Pragma("omp parallel for schedule(dynamic, 64)")
    for (long s = 0; s < d_sae; s++) {
        const float *row = w + s * d;
        float *sum = dw + s * d;
        long end = s + 1 < d_sae ? starts[s + 1] : m;
        memset(sum, 0, d * sizeof(float));
        for (long p = starts[s]; p < end; p++) {
            const float *u = g + token[p] * d;
            if (p + 2 < end) prefetch(g + token[p + 2] * d, d);
            if (value[p] == 0) { dvalue[p] = dot(u, row, d); continue; }
            float along = 0, v = value[p];
            for (long i = 0; i < d; i++) { along += u[i] * row[i]; sum[i] += v * u[i]; }
            dvalue[p] = along;
        }
    }
}

/* g_i -= <g_i, w_i> w_i, and ||g_i||^2 after it. */
void project_rows(float *g, const float *w, long n, long d, float *squares) {
    _Pragma("omp parallel for schedule(static)")
    for (long r = 0; r < n; r++) {
        float *u = g + r * d;
        const float *v = w + r * d;
        float along = dot(u, v, d), square = 0;
        for (long i = 0; i < d; i++) { u[i] -= along * v[i]; square += u[i] * u[i]; }
        squares[r] = square;
    }
}

/* w_i /= ||w_i||; a row of zeros stays. */
void normalise_rows(float *w, long n, long d) {
    _Pragma("omp parallel for schedule(static)")
    for (long r = 0; r < n; r++) {
        float *u = w + r * d, norm = sqrtf(dot(u, u, d));
        if (norm < FLT_MIN) norm = FLT_MIN;
        for (long i = 0; i < d; i++) u[i] /= norm;
    }
}

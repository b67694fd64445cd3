/* The open-set head on a CPU.
 *
 * Reads the logits of a small grid once, upsamples them bilinearly (half-pixel centres) and writes
 * the nearest class and the anomaly of every pixel. Upsampled logits never leave the cache.
 *
 * A tile is TILE columns wide and walks down the image. Its two source rows are stretched to full
 * width, once for all output rows that lie between them; an output row is then their blend. Every
 * pixel's arithmetic is the same wherever a band of rows or a thread begins.
 *
 * Plain C with the GNU extensions of gcc and clang, no Python: called through ctypes. */
#include <pthread.h>
#include <stdlib.h>

#include "scores.h"

#define TILE 256 /* columns; a multiple of LANES and of 4 */
#define BAND 32  /* output rows that a thread takes at once */
#define MAX_THREADS 256

enum result { DONE, NOT_FINITE, NO_MEMORY };

typedef struct {
    const float *logits;
    int64_t batch, classes, height, width, strides[4]; /* strides in floats */
    int64_t rows, columns;
    uint8_t *nearest; /* (batch, rows, columns) */
    channel *channels;
    int32_t channel_count, threads, level;
} request;

/* For every output position its first source position and the weight of the one behind it. */
typedef struct {
    int32_t *first;
    float *weight;
} axis;

typedef struct {
    const request *request;
    axis vertical, horizontal;
    int64_t next_band;
    int32_t not_finite;
} job;

/* Exactly four times as wide: line[0] is the source left of the tile. */
INLINE void stretch_by_four(const float *restrict line, float *restrict out) {
    EACH(i, TILE / 4) {
        float left = line[i], middle = line[i + 1], right = line[i + 2];
        out[4 * i] = left * 0.375f + middle * 0.625f;
        out[4 * i + 1] = left * 0.125f + middle * 0.875f;
        out[4 * i + 2] = middle * 0.875f + right * 0.125f;
        out[4 * i + 3] = middle * 0.625f + right * 0.375f;
    }
}

INLINE void stretch_by_any(const float *restrict line, int32_t start, const int32_t *restrict first,
                           const float *restrict weight, float *restrict out) {
    EACH(i, TILE) {
        const float *source = line + (first[i] - start);
        out[i] = source[0] * (1.0f - weight[i]) + source[1] * weight[i];
    }
}

/* One source row at full width, in the columns of the tile at x. True if all of it is finite. */
INLINE int stretch(const job *j, const float *row, int64_t x, float *restrict line, float *out) {
    const request *q = j->request;
    const int32_t *first = j->horizontal.first + x;
    int by_four = q->columns == 4 * q->width;
    int64_t start = by_four ? x / 4 - (x > 0) : first[0];
    int64_t end = (by_four ? x / 4 + TILE / 4 : first[TILE - 1] + 1) + 1;
    int64_t count = (end < q->width ? end : q->width) - start;
    int32_t bad = 0;
    row += start * q->strides[3];
    for (int64_t k = 0; k < q->classes; k++, row += q->strides[1], out += TILE) {
        if (q->strides[3] == 1)
            memcpy(line + 1, row, (size_t)count * sizeof *line);
        else
            for (int64_t i = 0; i < count; i++) line[1 + i] = row[i * q->strides[3]];
        for (int64_t i = 1; i <= count; i++)
            bad |= (bits_of(line[i]) & 0x7f800000) == 0x7f800000;
        line[0] = line[1]; /* beyond the border the outermost value goes on */
        line[count + 1] = line[count];
        if (by_four)
            stretch_by_four(line + (x > 0), out);
        else
            stretch_by_any(line + 1, (int32_t)start, first, j->horizontal.weight + x, out);
    }
    return !bad;
}

/* An output row: its logits z (classes, LANES), their maximum, and the first class that has it. */
INLINE void blend(const float *restrict above, const float *restrict below, float weight,
                  int64_t classes, float *restrict z, float *restrict maximum,
                  uint8_t *restrict nearest) {
    int32_t best[LANES];
    EACH(i, LANES) {
        z[i] = maximum[i] = above[i] * (1.0f - weight) + below[i] * weight;
        best[i] = 0;
    }
    for (int32_t k = 1; k < (int32_t)classes; k++) {
        above += TILE, below += TILE, z += LANES;
        EACH(i, LANES) {
            float value = above[i] * (1.0f - weight) + below[i] * weight;
            int32_t larger = -(int32_t)(value > maximum[i]); /* all bits or none: SSE2 has no blend */
            best[i] = (best[i] & ~larger) | (k & larger);
            maximum[i] = at_least(maximum[i], value);
            z[i] = value;
        }
    }
    EACH(i, LANES) nearest[i] = (uint8_t)best[i];
}

/* Rows [top, bottom) of the tile at x. False if a logit in it is not finite. */
INLINE int walk_tile(const job *j, int64_t image, int64_t top, int64_t bottom, int64_t x,
                     float *work) {
    const request *q = j->request;
    float *source[2] = {work, work + q->classes * TILE};
    float *z = work + 2 * q->classes * TILE, *e = z + q->classes * LANES;
    float *line = e + q->classes * LANES, maximum[LANES], values[LANES];
    uint8_t nearest[LANES];
    int64_t held[2] = {-1, -1};
    int finite = 1;
    for (int64_t y = top; y < bottom; y++) {
        int64_t above = j->vertical.first[y], wanted[2] = {above, above + (above + 1 < q->height)};
        if (held[1] == above && held[0] != above) {
            float *swapped = source[0];
            source[0] = source[1], source[1] = swapped;
            held[0] = above, held[1] = -1;
        }
        EACH(s, 2) if (held[s] != wanted[s]) {
            const float *row = q->logits + image * q->strides[0] + wanted[s] * q->strides[2];
            finite &= stretch(j, row, x, line, source[s]);
            held[s] = wanted[s];
        }
        for (int64_t at = 0; at < TILE && x + at < q->columns; at += LANES) {
            int64_t left = q->columns - x - at, count = left < LANES ? left : LANES;
            int64_t pixel = (image * q->rows + y) * q->columns + x + at;
            blend(source[0] + at, source[1] + at, j->vertical.weight[y], q->classes, z, maximum,
                  nearest);
            memcpy(q->nearest + pixel, nearest, (size_t)count);
            EACH(c, q->channel_count) {
                anomaly(&q->channels[c], z, maximum, q->classes, e, values);
                memcpy(q->channels[c].values + pixel, values, (size_t)count * sizeof *values);
            }
        }
    }
    return finite;
}

/* What every thread does: take bands of rows until none is left. */
INLINE void *take_bands(job *j) {
    const request *q = j->request;
    int64_t bands = (q->rows + BAND - 1) / BAND;
    int64_t line = (q->width > TILE ? q->width : TILE) + LANES;
    size_t size = (size_t)((2 * TILE + 2 * LANES) * q->classes + line) * sizeof(float);
    void *work;
    if (posix_memalign(&work, 64, size)) return NULL;
    memset(work, 0, size);
    for (;;) {
        int64_t band = __atomic_fetch_add(&j->next_band, 1, __ATOMIC_RELAXED);
        if (band >= q->batch * bands) break;
        int64_t top = band % bands * BAND, bottom = top + BAND < q->rows ? top + BAND : q->rows;
        for (int64_t x = 0; x < q->columns; x += TILE)
            if (!walk_tile(j, band / bands, top, bottom, x, work))
                __atomic_store_n(&j->not_finite, 1, __ATOMIC_RELAXED);
    }
    free(work);
    return NULL;
}

/* The same code for several processors; the best that this one has is chosen at run time. */
#define LEVEL(name, target) target static void *name(void *j) { return take_bands(j); }
LEVEL(run_baseline, )
#ifdef __x86_64__
#ifdef __clang__
#define WIDE
#else
#define WIDE ",prefer-vector-width=512"
#endif
LEVEL(run_avx2, __attribute__((target("avx2,fma"))))
LEVEL(run_avx512, __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl" WIDE))))
static void *(*const levels[])(void *) = {run_baseline, run_avx2, run_avx512};

int32_t open_set_head_best_level(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
    return 1 + (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"));
}
#else
static void *(*const levels[])(void *) = {run_baseline};

int32_t open_set_head_best_level(void) { return 0; }
#endif

static int fill_axis(axis *a, int64_t source, int64_t target) {
    int64_t padded = target + TILE;
    a->first = malloc((size_t)padded * sizeof *a->first);
    a->weight = malloc((size_t)padded * sizeof *a->weight);
    if (!a->first || !a->weight) return 0;
    for (int64_t i = 0; i < padded; i++) {
        double centre = (double)(i < target ? i : target - 1) + 0.5;
        double position = centre * ((double)source / (double)target) - 0.5;
        position = position > 0.0 ? position : 0.0;
        int64_t first = (int64_t)position;
        a->first[i] = (int32_t)(first < source ? first : source - 1);
        a->weight[i] = (float)(position - a->first[i]);
    }
    return 1;
}

/* Fills nearest and every channel's values; how it went is an enum result. After NOT_FINITE the
 * pixels that such a logit reaches hold nothing of use. */
int32_t open_set_head(const request *q) {
    job j = {.request = q};
    pthread_t threads[MAX_THREADS];
    int64_t bands = q->batch * ((q->rows + BAND - 1) / BAND);
    int started = 0;

    EACH(c, q->channel_count) fill_coefficients(&q->channels[c], (double)q->classes);
    if (fill_axis(&j.vertical, q->height, q->rows) &&
        fill_axis(&j.horizontal, q->width, q->columns)) {
        /* A thread that cannot start, or finds no memory, leaves its bands to the others. */
        while (started < q->threads - 1 && started < bands - 1 && started < MAX_THREADS &&
               pthread_create(&threads[started], NULL, levels[q->level], &j) == 0)
            started++;
        levels[q->level](&j);
        while (started > 0) pthread_join(threads[--started], NULL);
    }
    free(j.vertical.first), free(j.vertical.weight);
    free(j.horizontal.first), free(j.horizontal.weight);
    if (j.next_band < bands) return NO_MEMORY;
    return j.not_finite ? NOT_FINITE : DONE;
}

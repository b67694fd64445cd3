/* The open-set head on a CPU.
 *
 * Reads the logits of a small grid once, upsamples them bilinearly (half-pixel centres) and writes
 * the nearest class and the anomaly of every pixel. Upsampled logits never leave the cache.
 *
 * Here: threads, instruction sets, and what is computed once for all pixels. The work is in walk.h.
 * Plain C with the GNU extensions of gcc and clang, no Python: called through ctypes. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "head.h"

#define LN2 0.69314718055994530942
#define MAX_THREADS 256

enum result { DONE, NOT_FINITE, NO_MEMORY };

static void *(*const levels[])(void *) = {
    open_set_head_baseline,
#ifdef __x86_64__
    open_set_head_avx2,
    open_set_head_avx512,
#endif
};

/* The best of them that this processor has. */
int32_t open_set_head_best_level(void) {
#ifdef __x86_64__
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
    return 1 + (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"));
#else
    return 0;
#endif
}

static void fill_coefficients(channel *c, double classes) {
    double jsd_maximum = LN2 + 0.5 * log(classes) - (classes + 1) / (2 * classes) * log1p(classes);
    /* of 1, of a sum or an entropy to base 2, of what else the formula has */
    const double coefficients[][3] = {
        [JSD] = {1.0 - (LN2 + 0.5 * log(classes)) / jsd_maximum, 0.5 * LN2 / jsd_maximum,
                 LN2 / (2 * classes * jsd_maximum)},
        [ENTROPY] = {0.0, LN2 / log(classes), 0.0},
        [KL] = {log(classes), -LN2, 2.0 / c->temperature},
        [MAX_LOGIT] = {0.0, -1.0 / c->temperature, 0.0},
        [ENERGY] = {0.0, -LN2 * c->temperature, 0.0},
        [DENSE_HYBRID] = {0.0, -LN2 * c->temperature, 0.0},
    };
    c->factor = (float)(1.0 / (LN2 * c->temperature));
    c->lowest = (float)(-100.0 * LN2 * c->temperature); /* its exponential adds nothing to a sum */
    c->offset = (float)coefficients[c->formula][0];
    c->first = (float)coefficients[c->formula][1];
    c->second = (float)coefficients[c->formula][2];
    c->slope = (float)(1.0 / (LN2 * c->scale));
    c->shift = (float)(c->location / (LN2 * c->scale));
}

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

/* What must be alike here and in Python, so that no library of other sources is called. */
void open_set_head_layout(int32_t *layout) {
    layout[0] = (int32_t)sizeof(request), layout[1] = (int32_t)sizeof(channel);
    layout[2] = FORMULAS;
}

/* Fills nearest, labels and every channel's values; how it went is an enum result. After NOT_FINITE
 * the pixels that such a logit reaches hold nothing of use. */
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

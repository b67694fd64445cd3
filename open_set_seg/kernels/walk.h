/* The walk over an image, for one instruction set: whoever includes this defines LANES and TARGET.
 *
 * A tile is TILE columns wide and walks down the image. Its two source rows are stretched to full
 * width, once for all output rows that lie between them; an output row is then their blend. Every
 * pixel's arithmetic is the same wherever a band of rows or a thread begins.
 *
 * Where an image is exactly four times as wide as its logits, a tile holds its columns in the order
 * 0, 4, 8, ..., 1, 5, 9, ...: all columns of a phase have the same weights, so that no instruction
 * shuffles lanes. Only results are put in order again, once for all classes. */
#include <stdlib.h>

#include "head.h"
#include "lanes.h"
#include "scores.h"

#define PHASE (TILE / 4)   /* columns of a tile with the same weights, if there are such */
#define STRIDE (TILE + 16) /* of a class's row: not a power of two, for the cache's sake */

/* What a thread works with. */
typedef struct {
    float *source[2]; /* (planes, STRIDE) each: two stretched rows */
    int64_t held[2];  /* which source rows they are */
    float *line;      /* of two source rows, the parts that a tile needs */
    float *values;    /* (channels, TILE): a finished row */
    int32_t nearest[TILE], labels[TILE];
    pixels pixels;
} workplace;

/* Numbers that are not finite leave bits in bad. */
INLINE void note_bad(floats x, ints *bad) {
    const int32_t exponent = 0x7f800000;
    *bad |= ((ints)x & exponent) == exponent;
}

INLINE void stretch_by_four(const float *line, float *out, ints *bad) {
    for (int i = 0; i < PHASE; i += LANES) {
        floats left = load(line + i), middle = load(line + i + 1), right = load(line + i + 2);
        store(out + i, left * 0.375f + middle * 0.625f);
        store(out + PHASE + i, left * 0.125f + middle * 0.875f);
        store(out + 2 * PHASE + i, middle * 0.875f + right * 0.125f);
        store(out + 3 * PHASE + i, middle * 0.625f + right * 0.375f);
        note_bad(middle, bad);
    }
}

INLINE void stretch_by_any(const float *line, const int32_t *first, const float *weight, float *out,
                           ints *bad) {
    EACH(i, TILE) {
        const float *source = line + (first[i] - first[0]);
        out[i] = source[0] * (1.0f - weight[i]) + source[1] * weight[i];
    }
    for (int i = 0; i < TILE; i += LANES) note_bad(load(out + i), bad);
}

/* Sources [start, end) of a row; beyond its borders the outermost value goes on. */
INLINE const float *take_line(const request *q, const float *row, int64_t stride, int64_t start,
                              int64_t end, float *line) {
    int64_t begin = start < 0 ? 0 : start, last = (end < q->width ? end : q->width) - 1;
    if (stride == 1 && start == begin && end == last + 1) return row + start;
    for (int64_t i = start; i < begin; i++) line[i - start] = row[0];
    for (int64_t i = begin; i <= last; i++) line[i - start] = row[i * stride];
    for (int64_t i = last + 1; i < end; i++) line[i - start] = row[last * stride];
    return line;
}

/* Source row y of all planes at full width, in the columns of the tile at x. True if all of it is
 * finite. */
INLINE int stretch(const job *j, int64_t image, int64_t y, int64_t x, float *buffer, float *out) {
    const request *q = j->request;
    const int32_t *first = j->horizontal.first + x;
    int by_four = q->columns == 4 * q->width, finite = 1;
    int64_t start = by_four ? x / 4 - 1 : first[0];
    int64_t end = by_four ? x / 4 + PHASE + 1 : first[TILE - 1] + 2;
    int64_t count = q->classes + (q->outlier.values != NULL);
    ints bad = {0};
    for (int64_t k = 0; k < count; k++, out += STRIDE) {
        const planes *p = k < q->classes ? &q->logits : &q->outlier;
        const float *row = p->values + image * p->strides[0] + y * p->strides[2];
        const float *line;
        if (k < q->classes) {
            line = take_line(q, row + k * p->strides[1], p->strides[3], start, end, buffer);
        } else { /* of the outlier head the difference matters alone */
            float *margin = buffer + (end - start);
            const float *inlier = take_line(q, row, p->strides[3], start, end, buffer);
            for (int64_t i = 0; i < end - start; i++) margin[i] = inlier[i];
            line = take_line(q, row + p->strides[1], p->strides[3], start, end, buffer);
            for (int64_t i = 0; i < end - start; i++) margin[i] = line[i] - margin[i];
            line = margin;
        }
        if (by_four)
            stretch_by_four(line, out, &bad);
        else
            stretch_by_any(line, first, j->horizontal.weight + x, out, &bad);
    }
    EACH(i, LANES) finite &= !bad[i];
    return finite;
}

/* LANES pixels of an output row: logits, the largest, and the first class that has it. */
INLINE void blend(const request *q, const float *above, const float *below, float weight, int b,
                  pixels *p) {
    const floats lower = all(weight), upper = all(1.0f - weight);
    floats *z = p->z + b * q->classes, maximum = load(above) * upper + load(below) * lower;
    ints best = {0}, k = {0};
    z[0] = maximum;
    for (int64_t i = 1; i < q->classes; i++) {
        above += STRIDE, below += STRIDE, k += 1;
        floats value = load(above) * upper + load(below) * lower;
        ints more = value > maximum;
        best = (best & ~more) | (k & more);
        maximum = larger(value, maximum);
        z[i] = value;
    }
    p->maximum[b] = maximum, p->nearest[b] = best;
    if (q->outlier.values)
        p->margin[b] = load(above + STRIDE) * upper + load(below + STRIDE) * lower;
}

/* STEP pixels of an output row, from the tile's column at. */
INLINE void compute_step(const request *q, workplace *w, float weight, int at) {
    pixels *p = &w->pixels;
    p->factor = 0.0f;
    EACH(b, BLOCKS) {
        int place = at + b * LANES;
        blend(q, w->source[0] + place, w->source[1] + place, weight, b, p);
        memcpy(w->nearest + place, &p->nearest[b], sizeof(ints));
    }
    EACH(c, q->channel_count) compute_channel(q, &q->channels[c], p, w->values + c * TILE + at);
    if (q->labels)
        EACH(b, BLOCKS) {
            ints above = load(w->values + at + b * LANES) > all(q->threshold);
            ints label = (p->nearest[b] & ~above) | (q->unknown & above);
            memcpy(w->labels + at + b * LANES, &label, sizeof label);
        }
}

INLINE void write_bytes(const int32_t *row, int by_four, int64_t count, uint8_t *out) {
    if (by_four)
        for (int64_t i = 0; i < count / 4; i++)
            EACH(phase, 4) out[4 * i + phase] = (uint8_t)row[phase * PHASE + i];
    else
        for (int64_t i = 0; i < count; i++) out[i] = (uint8_t)row[i];
}

INLINE void write_floats(const float *row, int by_four, int64_t count, float *out) {
    if (by_four)
        for (int64_t i = 0; i < count / 4; i++)
            EACH(phase, 4) out[4 * i + phase] = row[phase * PHASE + i];
    else
        memcpy(out, row, (size_t)count * sizeof *out);
}

/* The output row y, in the columns of the tile at x. */
INLINE void compute_row(const job *j, workplace *w, int64_t image, int64_t y, int64_t x) {
    const request *q = j->request;
    int64_t count = q->columns - x < TILE ? q->columns - x : TILE;
    int64_t pixel = (image * q->rows + y) * q->columns + x;
    int by_four = q->columns == 4 * q->width;
    int phase = by_four ? PHASE : TILE;
    int64_t used = by_four ? count / 4 : count; /* of every phase */
    for (int begin = 0; begin < TILE; begin += phase)
        for (int at = 0; at < used; at += STEP)
            compute_step(q, w, j->vertical.weight[y], begin + at);
    write_bytes(w->nearest, by_four, count, q->nearest + pixel);
    if (q->labels) write_bytes(w->labels, by_four, count, q->labels + pixel);
    EACH(c, q->channel_count)
        write_floats(w->values + c * TILE, by_four, count, q->channels[c].values + pixel);
}

/* Rows [top, bottom) of the tile at x. False if a logit in it is not finite. */
INLINE int walk_tile(const job *j, workplace *w, int64_t image, int64_t top, int64_t bottom,
                     int64_t x) {
    const request *q = j->request;
    int finite = 1;
    w->held[0] = w->held[1] = -1;
    for (int64_t y = top; y < bottom; y++) {
        int64_t above = j->vertical.first[y], wanted[2] = {above, above + (above + 1 < q->height)};
        if (w->held[1] == above && w->held[0] != above) {
            float *swapped = w->source[0];
            w->source[0] = w->source[1], w->source[1] = swapped;
            w->held[0] = above, w->held[1] = -1;
        }
        EACH(s, 2) if (w->held[s] != wanted[s]) {
            finite &= stretch(j, image, wanted[s], x, w->line, w->source[s]);
            w->held[s] = wanted[s];
        }
        compute_row(j, w, image, y, x);
    }
    return finite;
}

/* A thread's memory, in one piece that begins with the workplace; NULL if there is none. */
INLINE workplace *build_workplace(const request *q) {
    size_t rows = ((size_t)q->classes + (q->outlier.values != NULL)) * STRIDE;
    size_t blocks = (size_t)q->classes * STEP, values = (size_t)q->channel_count * TILE;
    size_t line = (size_t)(q->width > TILE ? q->width : TILE) + LANES;
    size_t head = (sizeof(workplace) + 63) / 64 * 64;
    size_t size = head + (2 * rows + 2 * blocks + values + 2 * line) * sizeof(float);
    void *memory;
    if (posix_memalign(&memory, 64, size)) return NULL;
    workplace *w = memset(memory, 0, size);
    float *place = (float *)((char *)memory + head);
    w->source[0] = place, w->source[1] = place + rows, place += 2 * rows;
    w->pixels.z = (floats *)place, w->pixels.e = (floats *)(place + blocks), place += 2 * blocks;
    w->pixels.classes = q->classes;
    w->values = place, w->line = place + values;
    return w;
}

TARGET void *TAKE_BANDS(void *argument) {
    job *j = argument;
    const request *q = j->request;
    int64_t bands = (q->rows + BAND - 1) / BAND;
    workplace *w = build_workplace(q);
    if (!w) return NULL;
    for (;;) {
        int64_t band = __atomic_fetch_add(&j->next_band, 1, __ATOMIC_RELAXED);
        if (band >= q->batch * bands) break;
        int64_t top = band % bands * BAND, bottom = top + BAND < q->rows ? top + BAND : q->rows;
        for (int64_t x = 0; x < q->columns; x += TILE)
            if (!walk_tile(j, w, band / bands, top, bottom, x))
                __atomic_store_n(&j->not_finite, 1, __ATOMIC_RELAXED);
    }
    free(w);
    return NULL;
}

/* What is asked of the open-set head on a CPU, and what its threads share. */
#ifndef HEAD_H
#define HEAD_H
#include <stdint.h>

#define EACH(i, n) for (int i = 0; i < (n); i++)
#define TILE 256 /* columns that a thread walks down at once; a quarter is whole steps */
#define BAND 32  /* rows of such a walk */

/* In the order of cpu_head.py. */
enum formula { JSD, MSP, ENTROPY, KL, MAX_LOGIT, ENERGY, SML, OP, OP_MS, DENSE_HYBRID, FORMULAS };

/* One map to compute. */
typedef struct {
    float *values; /* (batch, rows, columns) */
    int32_t formula, published;
    double temperature, location, scale; /* the last two: of the logistic map, if published */
    float maximum; /* instead of a larger value or NaN */
    float factor, lowest, offset, first, second, slope, shift; /* see fill_coefficients */
} channel;

/* Class planes; strides in floats: of images, planes, rows and columns. */
typedef struct {
    const float *values;
    int64_t strides[4];
} planes;

typedef struct {
    planes logits, outlier; /* the second: inlier and outlier plane, or NULL */
    int64_t batch, classes, height, width, rows, columns;
    const float *class_mean, *class_deviation; /* (classes), for SML */
    uint8_t *nearest, *labels;                 /* (batch, rows, columns); no labels: NULL */
    channel *channels;
    int32_t channel_count, threads, level, unknown;
    float threshold; /* above it the first channel makes a pixel's label unknown */
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

/* What a thread does until no rows are left; one for each instruction set. */
void *open_set_head_baseline(void *job);
void *open_set_head_avx2(void *job);
void *open_set_head_avx512(void *job);
#endif

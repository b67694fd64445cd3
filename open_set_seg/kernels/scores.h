/* Anomaly scores of LANES pixels at once: the formulas of scores.py in float arithmetic.
 *
 * Every loop over LANES has a constant length and no branch, so that any compiler vectorises it. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "the roundings below need float arithmetic in float"
#endif

#define LANES 16
#define GROUP 32 /* classes that are summed apart, so that 254 roundings do not add up */
#define LN2 0.69314718055994530942
#define INLINE static inline __attribute__((always_inline))
#define EACH(i, n) for (int i = 0; i < (n); i++)

enum score { JSD, MSP, ENTROPY, MAX_LOGIT, ENERGY };

/* One map to compute; the coefficients are filled in here. */
typedef struct {
    float *values; /* (batch, rows, columns) */
    int32_t score, published;
    double temperature, location, scale; /* the last two: of the logistic map, if published */
    float maximum;                       /* instead of a larger value or NaN */
    float factor, offset, divergence, mixture, slope, shift;
} channel;

INLINE int32_t bits_of(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INLINE float float_of(int32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

INLINE float at_least(float x, float low) { return x < low ? low : x; }
INLINE float at_most(float x, float high) { return x > high ? high : x; }

/* 2^y for |y| <= 125, relative error 2e-7: minimax polynomial on [-1/2, 1/2]. */
INLINE float power_of_two(float y) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float rounded = y + magic;
    float f = y - (rounded - magic);
    float p = 9.67151279e-3f + f * 1.32647273e-3f;
    p = 1.0f + f * (0.693146978f + f * (0.240222421f + f * (5.55073374e-2f + f * p)));
    return float_of(bits_of(p) + (int32_t)((uint32_t)bits_of(rounded) << 23));
}

/* log2(u) for finite u >= 1, absolute error 6e-8 plus rounding: minimax on [sqrt(1/2), sqrt(2)]. */
INLINE float log_two(float u) {
    int32_t exponent = (bits_of(u) - 0x3f3504f3) >> 23;
    float q = float_of(bits_of(u) - (int32_t)((uint32_t)exponent << 23)) - 1.0f;
    float p = 0.28670745f + q * (-0.25006906f + q * (0.23689046f + q * -0.14574452f));
    p = 1.44269477f + q * (-0.72135715f + q * (0.48093945f + q * (-0.36008721f + q * p)));
    return (float)exponent + q * p;
}

/* e = exp((z - maximum) / T), their sum, and the sum of e log2(e). */
INLINE void exponentials(const float *restrict z, const float *restrict maximum, int64_t classes,
                         float factor, float *restrict e, float *restrict sum,
                         float *restrict moment) {
    EACH(i, LANES) sum[i] = moment[i] = 0.0f;
    for (int64_t begin = 0; begin < classes; begin += GROUP) {
        float part[LANES] = {0}, moment_part[LANES] = {0};
        int64_t end = begin + GROUP < classes ? begin + GROUP : classes;
        for (int64_t k = begin; k < end; k++, z += LANES, e += LANES)
            EACH(i, LANES) {
                float y = at_least((z[i] - maximum[i]) * factor, -125.0f);
                e[i] = power_of_two(y);
                part[i] += e[i];
                moment_part[i] += e[i] * y;
            }
        EACH(i, LANES) sum[i] += part[i], moment[i] += moment_part[i];
    }
}

/* Sum of (1 + t) log2(1 + t) with t = classes * e / sum. */
INLINE void mixture_of(const float *restrict e, const float *restrict sum, int64_t classes,
                       float *restrict mixture) {
    float ratio[LANES];
    EACH(i, LANES) ratio[i] = (float)classes / sum[i], mixture[i] = 0.0f;
    for (int64_t begin = 0; begin < classes; begin += GROUP) {
        float part[LANES] = {0};
        int64_t end = begin + GROUP < classes ? begin + GROUP : classes;
        for (int64_t k = begin; k < end; k++, e += LANES)
            EACH(i, LANES) {
                float u = 1.0f + e[i] * ratio[i];
                part[i] += u * log_two(u);
            }
        EACH(i, LANES) mixture[i] += part[i];
    }
}

/* The formulas of scores.py; logarithms have base 2, the coefficients bring them to base e. */
INLINE void anomaly(const channel *c, const float *restrict z, const float *restrict maximum,
                    int64_t classes, float *restrict e, float *restrict v) {
    float sum[LANES], moment[LANES], mixture[LANES];
    if (c->score != MAX_LOGIT) exponentials(z, maximum, classes, c->factor, e, sum, moment);
    if (c->score == JSD) {
        mixture_of(e, sum, classes, mixture);
        EACH(i, LANES) {
            float entropy = log_two(sum[i]) - moment[i] / sum[i];
            v[i] = at_least(c->offset + c->divergence * entropy + c->mixture * mixture[i], 0.0f);
        }
    } else if (c->score == MSP) {
        EACH(i, LANES) v[i] = 1.0f - 1.0f / sum[i];
    } else if (c->score == ENTROPY) {
        EACH(i, LANES) {
            v[i] = at_least((log_two(sum[i]) - moment[i] / sum[i]) * c->divergence, 0.0f);
        }
    } else if (c->score == MAX_LOGIT) {
        EACH(i, LANES) v[i] = maximum[i] * c->divergence;
    } else {
        EACH(i, LANES) v[i] = c->divergence * log_two(sum[i]) - maximum[i];
    }
    if (c->published) EACH(i, LANES) {
            float y = at_most(at_least(c->shift - v[i] * c->slope, -125.0f), 125.0f);
            v[i] = 1.0f / (1.0f + power_of_two(y));
        }
    EACH(i, LANES) v[i] = v[i] <= c->maximum ? v[i] : c->maximum; /* NaN is not <= anything */
}

static void fill_coefficients(channel *c, double classes) {
    double jsd_maximum = LN2 + 0.5 * log(classes) - (classes + 1) / (2 * classes) * log1p(classes);
    c->factor = (float)(1.0 / (LN2 * c->temperature));
    c->offset = (float)(1.0 - (LN2 + 0.5 * log(classes)) / jsd_maximum);
    c->mixture = (float)(LN2 / (2 * classes * jsd_maximum));
    const double divergence[] = {
        [JSD] = 0.5 * LN2 / jsd_maximum,   [MSP] = 0.0,
        [ENTROPY] = LN2 / log(classes),    [MAX_LOGIT] = -1.0 / c->temperature,
        [ENERGY] = -LN2 * c->temperature,
    };
    c->divergence = (float)divergence[c->score];
    c->slope = (float)(1.0 / (LN2 * c->scale));
    c->shift = (float)(c->location / (LN2 * c->scale));
}

/* LANES numbers at once, one a pixel: the width of the registers that TARGET has.
 *
 * Vectors are GNU C's: operators work lane by lane, comparisons give all bits or none. */
#include <float.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif

#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "the roundings below need float arithmetic in float"
#endif

#define INLINE static inline __attribute__((always_inline)) TARGET

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES))); /* whose sums may overflow */
typedef float loose_floats __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE floats all(float x) { return x - (floats){0}; }
INLINE floats load(const float *from) { return *(const loose_floats *)from; }
INLINE void store(float *to, floats x) { *(loose_floats *)to = x; }
INLINE floats choose(ints mask, floats a, floats b) {
    return (floats)(((ints)a & mask) | ((ints)b & ~mask));
}

/* The larger and the smaller of two; the second if one of them is NaN. Compilers do not find the
 * instructions for it on their own. */
#if LANES == 16
INLINE floats larger(floats a, floats b) { return (floats)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE floats smaller(floats a, floats b) { return (floats)_mm512_min_ps((__m512)a, (__m512)b); }
#elif LANES == 8
INLINE floats larger(floats a, floats b) { return (floats)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE floats smaller(floats a, floats b) { return (floats)_mm256_min_ps((__m256)a, (__m256)b); }
#elif defined(__SSE2__)
INLINE floats larger(floats a, floats b) { return (floats)_mm_max_ps((__m128)a, (__m128)b); }
INLINE floats smaller(floats a, floats b) { return (floats)_mm_min_ps((__m128)a, (__m128)b); }
#else
INLINE floats larger(floats a, floats b) { return choose(a > b, a, b); }
INLINE floats smaller(floats a, floats b) { return choose(a < b, a, b); }
#endif

/* 2^(x factor) for products in [-125, 125], relative error 2e-7: minimax polynomial on
 * [-1/2, 1/2]. */
INLINE floats power_of_two(floats x, floats factor) {
    const floats magic = all(12582912.0f); /* 1.5 * 2^23: what is added to it becomes whole */
    floats rounded = x * factor + magic;
    floats f = x * factor - (rounded - magic);
    floats p = 9.67151299e-3f + f * 1.32647273e-3f;
    p = 1.0f + f * (0.693147004f + f * (0.240222424f + f * (5.55073358e-2f + f * p)));
    return (floats)((words)p + ((words)rounded << 23));
}

/* log2(u) of ordinary positive numbers, absolute error 3e-7 plus rounding, and 0 for 1: minimax
 * polynomial on [sqrt(1/2), sqrt(2)]. */
INLINE floats log_two(floats u) {
    ints above = (ints)u - 0x3f3504f3; /* sqrt(1/2) */
    floats q = (floats)((ints)u - (above & (int32_t)0xff800000)) - 1.0f;
    floats p = 0.297262609f + q * (-0.272697896f + q * 0.170634344f);
    p = 1.44269967f + q * (-0.721375883f + q * (0.480465025f + q * (-0.35896185f + q * p)));
    return __builtin_convertvector(above >> 23, floats) + q * p;
}

/* Anomaly scores of STEP pixels: the formulas of open_set_seg.scores in float arithmetic.
 *
 * Logarithms have base 2; the coefficients bring them to base e. */
#define GROUP 32 /* classes that are summed apart, so that 254 roundings do not add up */
#define STEP 32  /* pixels that go through a loop over the classes before the next loop begins */
#define BLOCKS (STEP / LANES)

typedef struct {
    int64_t classes;
    floats *z, *e; /* (BLOCKS, classes): logits, and exp((z - maximum) / T) by the last channel */
    floats maximum[BLOCKS], margin[BLOCKS]; /* largest logit; outlier logit less inlier logit */
    ints nearest[BLOCKS];
    float factor;                       /* 1 / T to base 2 of what follows; 0: there is nothing */
    floats sum[BLOCKS], moment[BLOCKS]; /* of e, and of e log2(e) */
} pixels;

INLINE void sum_exponentials(pixels *p, int b, const channel *c) {
    const floats factor = all(c->factor), lowest = all(c->lowest), maximum = p->maximum[b];
    const floats *z = p->z + b * p->classes;
    floats *e = p->e + b * p->classes, sum = {0}, moment = {0};
    for (int64_t begin = 0; begin < p->classes; begin += GROUP) {
        int64_t end = begin + GROUP < p->classes ? begin + GROUP : p->classes;
        floats part = {0}, moment_part = {0};
        for (int64_t k = begin; k < end; k++) {
            floats d = larger(lowest, z[k] - maximum), one = power_of_two(d, factor);
            e[k] = one;
            part += one;
            moment_part += one * d;
        }
        sum += part, moment += moment_part;
    }
    p->sum[b] = sum, p->moment[b] = moment * factor;
}

/* Sum of (1 + t) log2(1 + t) with t = classes * e / sum. */
INLINE floats sum_mixture(const pixels *p, int b) {
    const floats ratio = (float)p->classes / p->sum[b], *e = p->e + b * p->classes;
    floats mixture = {0};
    for (int64_t begin = 0; begin < p->classes; begin += GROUP) {
        int64_t end = begin + GROUP < p->classes ? begin + GROUP : p->classes;
        floats part = {0};
        for (int64_t k = begin; k < end; k++) {
            floats u = 1.0f + e[k] * ratio;
            part += u * log_two(u);
        }
        mixture += part;
    }
    return mixture;
}

/* Half the mean of z - maximum over the classes: the whole of it may be no float. */
INLINE floats half_distance(const pixels *p, int b) {
    const floats share = all(1.0f / (float)p->classes), half = 0.5f * p->maximum[b];
    const floats *z = p->z + b * p->classes;
    floats mean = {0};
    for (int64_t begin = 0; begin < p->classes; begin += GROUP) {
        int64_t end = begin + GROUP < p->classes ? begin + GROUP : p->classes;
        floats part = {0};
        for (int64_t k = begin; k < end; k++) part += (0.5f * z[k] - half) * share;
        mean += part;
    }
    return mean;
}

/* 1 / (1 + 2^-y). Bounds stand first in larger and smaller, so that NaN stays NaN. */
INLINE floats sigmoid(floats y) {
    y = smaller(all(125.0f), larger(all(-125.0f), y));
    return 1.0f / (1.0f + power_of_two(y, all(-1.0f)));
}

/* log2 of that, without loss of digits where it is near 0 or 1. */
INLINE floats log_sigmoid(floats y) {
    floats distance = larger(all(-125.0f), smaller(y, -y));
    return smaller((floats){0}, y) - log_two(1.0f + power_of_two(distance, all(1.0f)));
}

INLINE floats standardise(const request *q, const pixels *p, int b) {
    floats mean, deviation;
    EACH(i, LANES) {
        mean[i] = q->class_mean[p->nearest[b][i]];
        deviation[i] = q->class_deviation[p->nearest[b][i]];
    }
    return (mean - p->maximum[b]) / deviation;
}

/* The formulas; what the coefficients are is said in fill_coefficients. */
INLINE floats score(const request *q, const channel *c, const pixels *p, int b) {
    const floats zero = {0}, sum = p->sum[b], maximum = p->maximum[b];
    const floats margin = p->margin[b] * c->factor;
    switch (c->formula) {
    case JSD: {
        floats entropy = log_two(sum) - p->moment[b] / sum;
        return larger(zero, c->offset + c->first * entropy + c->second * sum_mixture(p, b));
    }
    case MSP: return 1.0f - 1.0f / sum;
    case ENTROPY: return larger(zero, c->first * (log_two(sum) - p->moment[b] / sum));
    case KL:
        return smaller(zero, c->offset + c->first * log_two(sum) + c->second * half_distance(p, b));
    case MAX_LOGIT: return c->first * maximum;
    case ENERGY: return c->first * log_two(sum) - maximum;
    case SML: return standardise(q, p, b);
    case OP: return sigmoid(margin);
    case OP_MS: return sigmoid(margin) * (1.0f - 1.0f / sum);
    default: return c->first * (log_two(sum) - log_sigmoid(margin)) - maximum; /* DENSE_HYBRID */
    }
}

INLINE void compute_channel(const request *q, const channel *c, pixels *p, float *out) {
    int exponential = c->formula != MAX_LOGIT && c->formula != SML && c->formula != OP;
    if (exponential && p->factor != c->factor) {
        EACH(b, BLOCKS) sum_exponentials(p, b, c);
        p->factor = c->factor;
    }
    EACH(b, BLOCKS) {
        floats value = score(q, c, p, b);
        if (c->published) value = sigmoid(value * c->slope - c->shift);
        store(out + b * LANES, smaller(value, all(c->maximum)));
    }
}

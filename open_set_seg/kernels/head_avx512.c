#ifdef __x86_64__
#define LANES 16
#define TARGET __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")))
#define TAKE_BANDS open_set_head_avx512
#include "walk.h"
#endif

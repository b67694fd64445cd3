#ifdef __x86_64__
#define LANES 8
#define TARGET __attribute__((target("avx2,fma")))
#define TAKE_BANDS open_set_head_avx2
#include "walk.h"
#endif

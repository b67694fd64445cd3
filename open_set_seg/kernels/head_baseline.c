/* What every processor of this architecture has: 128 bits on x86-64 and arm64. */
#define LANES 4
#define TARGET
#define TAKE_BANDS open_set_head_baseline
#include "walk.h"

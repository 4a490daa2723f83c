#if defined(__x86_64__)
#define KERNEL(name) name##_base
#else
#define KERNEL(name) name
#endif
#include "levels.h"

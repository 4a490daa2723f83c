#if defined(__x86_64__)
#define KERNEL(name) name##_v3
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#include "levels.h"
#pragma clang attribute pop
#endif

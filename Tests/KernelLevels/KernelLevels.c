#include "KernelLevels.h"

#include <stddef.h>

#if defined(__x86_64__)
#define DECLARE(name) extern __typeof__(name) name##_base, name##_v3, name##_v4;
MMOE_KERNELS(DECLARE)

#define BASE(name) .name = name##_base,
#define V3(name) .name = name##_v3,
#define V4(name) .name = name##_v4,
static const kernel_table tables[] = {{MMOE_KERNELS(BASE)}, {MMOE_KERNELS(V3)}, {MMOE_KERNELS(V4)}};

const kernel_table *kernels_of_level(kernel_level level) {
  __builtin_cpu_init();
  if (level == KERNELS_V3 && !__builtin_cpu_supports("x86-64-v3")) return NULL;
  if (level == KERNELS_V4 && !__builtin_cpu_supports("x86-64-v4")) return NULL;
  return &tables[level];
}
#else
#define PLAIN(name) .name = name,
static const kernel_table table = {MMOE_KERNELS(PLAIN)};

const kernel_table *kernels_of_level(kernel_level level) { return level == KERNELS_BASE ? &table : NULL; }
#endif

// Binds every kernel to the highest level that this CPU has, once, when the program is loaded.
#include "CKernels.h"

#include "kernels.h"

#if defined(__x86_64__)
// Resolvers run before a sanitizer is ready.
#define EARLY __attribute__((no_sanitize("address", "memory", "thread", "undefined")))

EARLY static int level(void) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4")) return 4;
  return __builtin_cpu_supports("x86-64-v3") ? 3 : 1;
}

#define BIND(name)                                                             \
  extern __typeof__(name) name##_v4, name##_v3, name##_base;                   \
  EARLY static __typeof__(&name) resolve_##name(void) {                        \
    int l = level();                                                           \
    return l == 4 ? name##_v4 : l == 3 ? name##_v3 : name##_base;              \
  }                                                                            \
  __typeof__(name) name __attribute__((ifunc("resolve_" #name)));

MMOE_KERNELS(BIND)
#endif

const char *mmoe_kernel_level(void) {
#if defined(__x86_64__)
  int l = level();
  return l == 4 ? "x86-64-v4" : l == 3 ? "x86-64-v3" : "x86-64";
#else
  return "plain";
#endif
}

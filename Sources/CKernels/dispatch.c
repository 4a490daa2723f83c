// Binds every kernel to the highest level that this CPU has, once, when the program is loaded.
#include "CKernels.h"

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
  __typeof__(name) name __attribute__((ifunc("resolve_" #name)))

BIND(mmoe_add);
BIND(mmoe_sum);
BIND(mmoe_scale);
BIND(mmoe_axpy);
BIND(mmoe_sum_of_squares);
BIND(mmoe_dot);
BIND(mmoe_first_not_finite);
BIND(mmoe_bias_residual);
BIND(mmoe_activate);
BIND(mmoe_activate_backward);
BIND(mmoe_activate_bf16);
BIND(mmoe_activate_backward_bf16);
BIND(mmoe_column_sums);
BIND(mmoe_scale_rows);
BIND(mmoe_layer_norm);
BIND(mmoe_layer_norm_backward);
BIND(mmoe_rms_norm);
BIND(mmoe_rms_norm_backward);
BIND(mmoe_softmax_rows);
BIND(mmoe_softmax_recompute);
BIND(mmoe_softmax_backward);
BIND(mmoe_row_dots);
BIND(mmoe_cross_entropy);
BIND(mmoe_exp_slice);
BIND(mmoe_exp_slice_bf16);
BIND(mmoe_scale_bf16);
BIND(mmoe_rotary);
BIND(mmoe_gemv);
BIND(mmoe_route);
BIND(mmoe_route_backward);
BIND(mmoe_gather_rows);
BIND(mmoe_combine_rows);
BIND(mmoe_combine_backward);
BIND(mmoe_identity_rows);
BIND(mmoe_identity_backward);
BIND(mmoe_adamw);
BIND(mmoe_encode_bf16);
BIND(mmoe_decode_bf16);
BIND(mmoe_encode_int8);
BIND(mmoe_decode_int8);
#endif

const char *mmoe_kernel_level(void) {
#if defined(__x86_64__)
  int l = level();
  return l == 4 ? "x86-64-v4" : l == 3 ? "x86-64-v3" : "x86-64";
#else
  return "plain";
#endif
}

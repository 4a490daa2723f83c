// Every kernel of CKernels.h, for what must be said of each of them.
#pragma once

#define MMOE_KERNELS(DO) \
  DO(mmoe_add) \
  DO(mmoe_sum) \
  DO(mmoe_scale) \
  DO(mmoe_axpy) \
  DO(mmoe_sum_of_squares) \
  DO(mmoe_dot) \
  DO(mmoe_first_not_finite) \
  DO(mmoe_bias_residual) \
  DO(mmoe_activate) \
  DO(mmoe_activate_backward) \
  DO(mmoe_activate_bf16) \
  DO(mmoe_activate_backward_bf16) \
  DO(mmoe_column_sums) \
  DO(mmoe_scale_rows) \
  DO(mmoe_layer_norm) \
  DO(mmoe_layer_norm_backward) \
  DO(mmoe_rms_norm) \
  DO(mmoe_rms_norm_backward) \
  DO(mmoe_softmax_rows) \
  DO(mmoe_softmax_recompute) \
  DO(mmoe_softmax_backward) \
  DO(mmoe_row_dots) \
  DO(mmoe_cross_entropy) \
  DO(mmoe_exp_slice) \
  DO(mmoe_exp_slice_bf16) \
  DO(mmoe_scale_bf16) \
  DO(mmoe_rotary) \
  DO(mmoe_gemv) \
  DO(mmoe_route) \
  DO(mmoe_route_backward) \
  DO(mmoe_gather_rows) \
  DO(mmoe_combine_rows) \
  DO(mmoe_combine_backward) \
  DO(mmoe_identity_rows) \
  DO(mmoe_identity_backward) \
  DO(mmoe_adamw) \
  DO(mmoe_encode_bf16) \
  DO(mmoe_decode_bf16) \
  DO(mmoe_encode_int8) \
  DO(mmoe_decode_int8)

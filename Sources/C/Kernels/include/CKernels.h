// Vectorized element-wise and reduction kernels. Every function works on one tile on the calling
// thread; Swift's worker pool hands out the tiles. Matrices are row-major; `ld` is the distance
// between rows in floats.
//
// A NaN in an input makes every output NaN that depends on it, at every CPU level (KernelNaNTests goes through all kernels
// declared here).
#pragma once

#include <stdint.h>

/// Tells the core that this is a spin loop.
static inline void mmoe_spin_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

/// The CPU level that the kernels run at: "x86-64-v4", "x86-64-v3", "x86-64" or "plain".
const char *mmoe_kernel_level(void);

// ---- element-wise ------------------------------------------------------------------------------

/// y += x
void mmoe_add(float *y, const float *x, long n);
/// y = a + b
void mmoe_sum(float *y, const float *a, const float *b, long n);
/// y = alpha * x
void mmoe_scale(float *y, const float *x, float alpha, long n);
/// y += alpha * x
void mmoe_axpy(float *y, const float *x, float alpha, long n);
/// Sum of squares in double precision, fixed order; NaN and Inf propagate.
double mmoe_sum_of_squares(const float *x, long n);
/// Sum of x*y in fixed order.
float mmoe_dot(const float *x, const float *y, long n);
/// Index of the first element that is not finite, or -1.
long mmoe_first_not_finite(const float *x, long n);

// ---- linear layers -----------------------------------------------------------------------------

/// y[r,:] = y[r,:] + bias (bias may be null) + residual[r,:] (may be null), rows of `columns`.
void mmoe_bias_residual(float *y, const float *bias, const float *residual, long rows,
                        long columns);
/// What stands between the two products of a perceptron. SwiGLU's `pre` has two halves, gate and up:
/// activated = gate * sigmoid(gate) * up.
typedef enum {
  MMOE_GELU,        // in its tanh form
  MMOE_GELU_ERF,    // with the normal distribution function
  MMOE_QUICK_GELU,  // x * sigmoid(1.702 x)
  MMOE_SWIGLU
} mmoe_activation;

/// pre[rows, hidden] (SwiGLU: [rows, 2 hidden]) += bias (null for none), then activated[rows, hidden].
void mmoe_activate(mmoe_activation kind, float *pre, const float *bias, float *activated, long rows,
                   long hidden);
/// Given the stored `pre` and `grad` = dL/dactivated: activated again, pre = dL/dpre, and columnSums = its column
/// sums (null for none).
void mmoe_activate_backward(mmoe_activation kind, float *pre, const float *grad, float *activated,
                            float *columnSums, long rows, long hidden);
/// mmoe_activate with bfloat16 results: kept = pre + bias (null for nowhere), and activated.
void mmoe_activate_bf16(mmoe_activation kind, const float *pre, const float *bias, uint16_t *kept,
                        uint16_t *activated, long rows, long hidden);
/// mmoe_activate_backward over a bfloat16 `pre`; the column sums are those of the unrounded gradient.
void mmoe_activate_backward_bf16(mmoe_activation kind, uint16_t *pre, const float *grad, uint16_t *activated,
                                 float *columnSums, long rows, long hidden);
/// sums[c] (+= when `accumulate`) sum over rows of x[r,c]
void mmoe_column_sums(float *sums, const float *x, long rows, long columns, long ld,
                      int accumulate);
/// y[r,:] = scale[r] * x[r,:]
void mmoe_scale_rows(float *y, const float *x, const float *scale, long rows, long columns);

// ---- layer norm --------------------------------------------------------------------------------

/// y = (x - mean) * rstd * gamma + beta per row; stores mean and rstd.
void mmoe_layer_norm(float *y, const float *x, const float *gamma, const float *beta, float *mean,
                     float *rstd, float eps, long rows, long columns);
/// Gradient of the above: dx (+= when `accumulate`), and this tile's sums for gamma and beta.
void mmoe_layer_norm_backward(float *dx, const float *dy, const float *x, const float *gamma,
                              const float *mean, const float *rstd, float *dGamma, float *dBeta,
                              int accumulate, long rows, long columns);

/// y = x * rstd * gamma, rstd = 1 / sqrt(mean(x^2) + eps) per row.
void mmoe_rms_norm(float *y, const float *x, const float *gamma, float *rstd, float eps, long rows,
                   long columns);
/// Gradient of the above: dx (+= when `accumulate`), and this tile's sums for gamma.
void mmoe_rms_norm_backward(float *dx, const float *dy, const float *x, const float *gamma,
                            const float *rstd, float *dGamma, int accumulate, long rows,
                            long columns);

// ---- softmax -----------------------------------------------------------------------------------

/// Row softmax in place over the first `limit(r)` columns, zeros after; limit = columns, or for
/// causal rows min(columns, firstRow + r + 1). Stores log(sum(exp)) per row.
void mmoe_softmax_rows(float *x, float *logSumExp, long rows, long columns, long ld, int causal,
                       long firstRow);
/// x = exp(x - logSumExp[r]) under the same mask.
void mmoe_softmax_recompute(float *x, const float *logSumExp, long rows, long columns, long ld,
                            int causal, long firstRow);
/// dS = p * (dP - D[r]) in place of dP.
void mmoe_softmax_backward(float *dP, const float *p, const float *D, long rows, long columns,
                           long ld);
/// D[r] = dot of rows of a and b.
void mmoe_row_dots(float *D, const float *a, const float *b, long rows, long columns, long lda,
                   long ldb);
/// Softmax cross-entropy with label smoothing; logits are replaced by scale * dL/dlogits. Writes of every row the loss
/// (without scale) and how many logits come before the target's: larger ones, and equal ones of lower index; INT32_MAX where
/// a NaN leaves no order. A target < 0 is ignored: loss 0, rank -1.
void mmoe_cross_entropy(float *logits, const int32_t *targets, float *losses, int32_t *ranks,
                        float scale, float smoothing, long rows, long columns);

// ---- language models ---------------------------------------------------------------------------

/// Rotary positions: turns the pairs (i, i + width/2) of `heads` heads of one row by the angles whose cosines and
/// sines `angles` holds, [width/2] each; sign = -1 turns back.
void mmoe_rotary(float *x, const float *angles, float sign, long heads, long width);
/// One slice of a vocabulary, classes firstClass...: logits become exp(logit - maximum of the slice's row); stores
/// that maximum and the sum, and the target's logit where it lies in this slice. A NaN makes all of its row NaN.
void mmoe_exp_slice(float *logits, long ld, const int32_t *targets, long firstClass, float *maxima,
                    float *sums, float *targetLogits, long rows, long columns);
/// The same of a slice that stands alone, [rows, columns], its exponentials written in bfloat16 to rows `ld` apart; the
/// sums are those of the unrounded ones.
void mmoe_exp_slice_bf16(uint16_t *exponentials, long ld, const float *logits, const int32_t *targets,
                         long firstClass, float *maxima, float *sums, float *targetLogits, long rows,
                         long columns);
/// x = alpha * x in bfloat16.
void mmoe_scale_bf16(uint16_t *x, float alpha, long n);
/// y[out] = W[out, inner] x, rows of W `ld` apart, fixed order of additions.
void mmoe_gemv(float *y, const float *w, const float *x, long ld, long out, long inner);

// ---- mixture of experts ------------------------------------------------------------------------

/// The logit of an expert that a token may not take: finite, so that sums of p * z stay numbers.
#define MMOE_FOREIGN (-1e30f)

/// Softmax over all experts and top-k choice per token; experts with the logit MMOE_FOREIGN have the probability 0 and are
/// never chosen, whatever the bias. `selectionBias` (null for none) is added to the
/// probabilities for the choice only. `exclude` (null for none) holds one expert a token may not take.
/// Ties go to the lower index.
/// probabilities[T,E]; experts[T,k] best first; gates[T,k], the chosen probabilities or, when `renormalize`, the softmax
/// over the chosen logits; logSumExp[T]. NaN among a token's logits or the biases makes its gates NaN; its experts are valid
/// numbers still.
void mmoe_route(const float *logits, const float *selectionBias, const int32_t *exclude,
                float *probabilities, int32_t *experts, float *gates, float *logSumExp, long T,
                long E, long k, int renormalize);
/// y[i,:] = x[source[i],:] for source >= 0, zeros otherwise.
void mmoe_gather_rows(float *y, const float *x, const int32_t *source, long rows, long columns);
/// y[t,:] (+= when accumulate) sum_j weight[t,j] * x[position[t,j],:], position < 0 skipped; weight may be null (1).
void mmoe_combine_rows(float *y, const float *x, const int32_t *position, const float *weight,
                       int accumulate, long T, long k, long columns);
/// The adjoint: dx[position[t,j],:] = weight[t,j] * dy[t,:], dWeight[t,j] = dy[t,:] . x[position[t,j],:].
void mmoe_combine_backward(float *dx, float *dWeight, const float *dy, const float *x,
                           const int32_t *position, const float *weight, long T, long k,
                           long columns);

/// Identity experts are those numbered from `first`: y[t,:] += sum of gates[t,j] with experts[t,j] >= first, times x[t,:].
void mmoe_identity_rows(float *y, const float *x, const int32_t *experts, const float *gates, int32_t first, long T,
                        long k, long columns);
/// The adjoint: dx[t,:] = that sum times dy[t,:], dGates[t,j] = dy[t,:] . x[t,:] where experts[t,j] >= first, else 0.
void mmoe_identity_backward(float *dx, float *dGates, const float *dy, const float *x, const int32_t *experts,
                            const float *gates, int32_t first, long T, long k, long columns);

/// Gradient of routing to the logits (+=), through the gates[T,k], the probabilities[T,E] and the
/// logSumExp[T]; any of the three may be null.
void mmoe_route_backward(float *dLogits, const float *probabilities, const int32_t *experts,
                         const float *gates, const float *dGates, const float *dProbabilities,
                         const float *dLogSumExp, long T, long E, long k, int renormalize);

// ---- narrow formats -----------------------------------------------------------------------------

/// float32 to bfloat16, rounded to nearest even; NaN stays NaN.
void mmoe_encode_bf16(uint16_t *y, const float *x, long n);
void mmoe_decode_bf16(float *y, const uint16_t *x, long n);
/// Rows of a float32 scale = max|x| / 127 and `columns` signed bytes, padded to a multiple of 4: x ~ scale * byte, with an
/// error of at most scale / 2. A row with NaN or infinity comes back as NaN.
void mmoe_encode_int8(uint8_t *y, const float *x, long rows, long columns);
void mmoe_decode_int8(float *y, const uint8_t *x, long rows, long columns);

// ---- optimizer ---------------------------------------------------------------------------------

/// Decoupled AdamW: p -= lr*decay*p; m, v moments; p -= lr * m̂ / (sqrt(v̂) + eps). `gradScale` multiplies g first.
void mmoe_adamw(float *p, const float *g, float *m, float *v, float gradScale, float lr,
                float decay, float beta1, float beta2, float eps, float correction1,
                float correction2, long n);

void KERNEL(mmoe_adamw)(float *p, const float *g, float *m, float *v, float gradScale,
                            float lr, float decay, float beta1, float beta2, float eps,
                            float correction1, float correction2, long n) {
  float shrink = 1.0f - lr * decay, step = lr / correction1, inverse2 = 1.0f / correction2;
  for (long i = 0; i < n; i++) {
    float grad = gradScale * g[i];
    float first = beta1 * m[i] + (1.0f - beta1) * grad;
    float second = beta2 * v[i] + (1.0f - beta2) * grad * grad;
    m[i] = first;
    v[i] = second;
    p[i] = shrink * p[i] - step * first / (square_root(second * inverse2) + eps);
  }
}

import Foundation

/// Student's t distribution, for intervals of a few paired differences.
enum StudentT {
  /// P(T ≤ t) with so many degrees of freedom.
  static func cumulative(_ t: Double, degrees: Int) -> Double {
    let v = Double(degrees)
    let tail = 0.5 * incompleteBeta(v / (v + t * t), v / 2, 0.5)
    return t >= 0 ? 1 - tail : tail
  }

  /// The t below which T lies with probability `p`, 0 < p < 1; by bisection, to rounding.
  static func quantile(_ p: Double, degrees: Int) -> Double {
    precondition(p > 0 && p < 1 && degrees > 0, "quantile \(p) with \(degrees) degrees of freedom")
    if p < 0.5 { return -quantile(1 - p, degrees: degrees) }
    var (low, high) = (0.0, 1.0)
    while cumulative(high, degrees: degrees) < p, high < 1e12 { high *= 2 }
    while true {
      let middle = (low + high) / 2
      if middle <= low || middle >= high { return middle }
      if cumulative(middle, degrees: degrees) < p { low = middle } else { high = middle }
    }
  }

  /// The regularized incomplete beta function I_x(a, b).
  private static func incompleteBeta(_ x: Double, _ a: Double, _ b: Double) -> Double {
    if x <= 0 { return 0 }
    if x >= 1 { return 1 }
    // The fraction converges fast on this side; the other follows from I_x(a, b) = 1 − I_{1−x}(b, a).
    return x < (a + 1) / (a + b + 2) ? betaFraction(x, a, b) : 1 - betaFraction(1 - x, b, a)
  }

  /// I_x(a, b) by its continued fraction (Lentz's method).
  private static func betaFraction(_ x: Double, _ a: Double, _ b: Double) -> Double {
    let normalizer: Double = lgamma(a + b) - lgamma(a) - lgamma(b)
    let powers: Double = a * log(x) + b * log(1 - x)
    let front = exp(normalizer + powers) / a
    let tiny = 1e-300
    var c = 1.0
    var d = 1 - (a + b) * x / (a + 1)
    if abs(d) < tiny { d = tiny }
    d = 1 / d
    var result = d
    for m in 1...500 {
      let k = Double(m)
      let step: Double = a + 2 * k
      let even: Double = k * (b - k) * x / ((step - 1) * step)
      let odd: Double = -(a + k) * (a + b + k) * x / (step * (step + 1))
      for term in [even, odd] {
        d = 1 + term * d
        c = 1 + term / c
        if abs(d) < tiny { d = tiny }
        if abs(c) < tiny { c = tiny }
        d = 1 / d
        result *= c * d
      }
      if abs(c * d - 1) < 1e-15 { break }
    }
    return front * result
  }
}

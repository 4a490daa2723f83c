import Foundation
import Synchronization

extension Recording {
  /// The same sound with another number of samples per second: a sinc of 16 zero crossings on each side under a Kaiser window.
  ///
  /// With c = 0.95 · min(1, to / from) the output at time t, in samples of the input, is Σ_i x_i · k(t − i), where
  /// k(u) = c · sinc(c·u) · I₀(β·√(1 − (c·u/16)²)) / I₀(β) for |c·u| < 16, sinc(v) = sin(πv) / (πv), and β = 9. Samples before
  /// and after the recording are 0. There are ⌈count · to / from⌉ outputs; the first one is at time 0.
  ///
  /// - Parameter to: samples per second.
  package func converted(to: Int) -> Recording {
    guard to != rate, !samples.isEmpty else { return self }
    let kernels = ConversionKernels.from(rate, to: to)
    let (phases, step, reach) = (kernels.phases, kernels.step, kernels.reach)
    let count = (samples.count * phases + step - 1) / step
    var output = [Float](repeating: 0, count: count)
    samples.withUnsafeBufferPointer { input in
      kernels.weights.withUnsafeBufferPointer { weights in
        for n in 0..<count {
          let position = n * step
          let row = position % phases * 2 * reach
          // The taps are the samples at whole − reach + 1 … whole + reach.
          let first = position / phases - reach + 1
          let taps = max(0, -first)..<max(max(0, -first), min(2 * reach, input.count - first))
          var sum = 0.0
          for tap in taps { sum += weights[row + tap] * Double(input[first + tap]) }
          output[n] = Float(sum)
        }
      }
    }
    return Recording(rate: to, samples: output)
  }
}

/// The kernel of a conversion at every place between two samples that outputs have.
private struct ConversionKernels: Sendable {
  /// Output n is at n · step / phases.
  let phases: Int
  let step: Int
  /// Taps on each side.
  let reach: Int
  /// `[phases, 2 · reach]`, the row of the numerator n · step mod phases.
  let weights: [Double]

  private static let crossings = 16.0
  private static let beta = 9.0
  /// Those of the latest pairs of rates: a set of recordings has few.
  private static let kept = Mutex<[(from: Int, to: Int, kernels: ConversionKernels)]>([])

  static func from(_ from: Int, to: Int) -> ConversionKernels {
    if let known = kept.withLock({ $0.first { $0.from == from && $0.to == to } }) { return known.kernels }
    let made = ConversionKernels(from, to)
    kept.withLock { $0 = [(from, to, made)] + $0.prefix(3) }
    return made
  }

  private init(_ from: Int, _ to: Int) {
    let divisor = ConversionKernels.greatestCommonDivisor(from, to)
    let phases = to / divisor
    let cutoff = 0.95 * min(1, Double(to) / Double(from))
    let reach = Int((ConversionKernels.crossings / cutoff).rounded(.up))
    let scale = cutoff / ConversionKernels.bessel(ConversionKernels.beta)
    (self.phases, step, self.reach) = (phases, from / divisor, reach)
    weights = (0..<phases * 2 * reach).map { index in
      let (phase, tap) = (index / (2 * reach), index % (2 * reach))
      let v = cutoff * (Double(phase) / Double(phases) - Double(tap - reach + 1))
      let part = v / ConversionKernels.crossings
      guard part * part < 1 else { return 0 }
      let sinc = v == 0 ? 1 : sin(.pi * v) / (.pi * v)
      return scale * sinc * ConversionKernels.bessel(ConversionKernels.beta * (1 - part * part).squareRoot())
    }
  }

  private static func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : greatestCommonDivisor(b, a % b) }

  /// The modified Bessel function of order 0.
  private static func bessel(_ x: Double) -> Double {
    var (sum, term, k) = (1.0, 1.0, 1.0)
    while term > 1e-17 * sum {
      term *= (x / (2 * k)) * (x / (2 * k))
      sum += term
      k += 1
    }
    return sum
  }
}

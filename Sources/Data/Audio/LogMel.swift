import Foundation
import Synchronization

/// How loud a recording is by time and pitch: what models of audio read.
///
/// The recording is converted to 16,000 samples per second. Frame f holds samples 160·f … 160·f + 399 (25 ms every 10 ms; zeros
/// after the end), times the periodic Hann window ½ − ½·cos(2πn/400). P(k) = |X(k)|² of their discrete Fourier transform of
/// length 512. Band m of M sums P(k) under a triangle of height 1 between the pitches m, m + 1 and m + 2 of M + 2 pitches that
/// are evenly spread on the mel scale mel(f) = 2595 · log₁₀(1 + f/700) from 0 to 8,000 Hz; the triangle is linear in mel. With
/// the largest sum S of the recording the value is 1 + log₁₀(max(sum / S, 10⁻⁶)) / 3, from −1 (60 dB below the loudest) to 1:
/// how loud it was recorded does not matter. There are ⌈(samples − 400) / 160⌉ + 1 frames, at least 1.
package struct LogMel: Sendable, Equatable {
  /// Samples per second of what is analyzed.
  package static let rate = 16_000
  /// Samples of a frame, and from one frame to the next.
  package static let window = 400
  package static let hop = 160
  /// The value of silence.
  package static let silence: Float = -1
  static let transform = 512

  /// Frames of a recording.
  ///
  /// - Parameter samples: at `rate`.
  static func frames(of samples: Int) -> Int { max(0, samples - window + hop - 1) / hop + 1 }

  /// Bands from low to high.
  package let bands: Int
  package let frames: Int
  /// `[bands, frames]`
  package let values: [Float]

  /// - Parameter bands: at least 1. Of more than 90 the lowest ones are narrower than the transform can tell, and silent.
  package init(_ recording: Recording, bands: Int) {
    precondition(bands > 0, "\(bands) bands")
    let samples = recording.converted(to: LogMel.rate).samples
    let frames = LogMel.frames(of: samples.count)
    let bank = MelBank.of(bands)
    var sums = [Double](repeating: 0, count: bands * frames)
    var spectrum = PowerSpectrum()
    for frame in 0..<frames {
      let start = min(frame * LogMel.hop, samples.count)
      spectrum.measure(samples[start..<min(start + LogMel.window, samples.count)])
      for (band, triangle) in bank.triangles.enumerated() {
        var sum = 0.0
        for (offset, weight) in triangle.weights.enumerated() {
          sum += weight * spectrum.power[triangle.first + offset]
        }
        sums[band * frames + frame] = sum
      }
    }
    let largest = sums.max() ?? 0
    (self.bands, self.frames) = (bands, frames)
    values = sums.map { largest > 0 ? Float(1 + log10(max($0 / largest, 1e-6)) / 3) : LogMel.silence }
  }
}

/// The triangles of mel bands over the bins of a transform.
private struct MelBank: Sendable {
  let triangles: [(first: Int, weights: [Double])]

  private static let kept = Mutex<[Int: MelBank]>([:])

  static func of(_ bands: Int) -> MelBank {
    if let known = kept.withLock({ $0[bands] }) { return known }
    let made = MelBank(bands)
    kept.withLock { $0[bands] = made }
    return made
  }

  private init(_ bands: Int) {
    func mel(_ frequency: Double) -> Double { 2595 * log10(1 + frequency / 700) }
    let bins = LogMel.transform / 2 + 1
    let pitches = (0..<bins).map { mel(Double($0 * LogMel.rate) / Double(LogMel.transform)) }
    let spacing = mel(Double(LogMel.rate) / 2) / Double(bands + 1)
    triangles = (0..<bands).map { band in
      let weights = pitches.map { max(0, 1 - abs($0 / spacing - Double(band + 1))) }
      let first = weights.firstIndex { $0 > 0 } ?? 0
      let last = weights.lastIndex { $0 > 0 } ?? first
      return (first, Array(weights[first...last]))
    }
  }
}

/// `|X(k)|²` of windowed frames, by a radix-2 transform in place.
private struct PowerSpectrum {
  private(set) var power: [Double]
  private var real: [Double]
  private var imaginary: [Double]
  private let window: [Double]
  private let cosines: [Double]
  private let sines: [Double]
  private let reversed: [Int]

  init() {
    let n = LogMel.transform
    let bits = n.trailingZeroBitCount
    power = Array(repeating: 0, count: n / 2 + 1)
    real = Array(repeating: 0, count: n)
    imaginary = real
    window = (0..<LogMel.window).map { 0.5 - 0.5 * cos(2 * .pi * Double($0) / Double(LogMel.window)) }
    cosines = (0..<n / 2).map { cos(2 * .pi * Double($0) / Double(n)) }
    sines = (0..<n / 2).map { -sin(2 * .pi * Double($0) / Double(n)) }
    reversed = (0..<n).map { index in
      (0..<bits).reduce(0) { $0 << 1 | (index >> $1 & 1) }
    }
  }

  mutating func measure(_ samples: ArraySlice<Float>) {
    let n = LogMel.transform
    for i in 0..<n { (real[i], imaginary[i]) = (0, 0) }
    for (i, sample) in samples.enumerated() { real[reversed[i]] = Double(sample) * window[i] }
    var half = 1
    while half < n {
      let turn = n / (2 * half)
      for start in stride(from: 0, to: n, by: 2 * half) {
        for k in 0..<half {
          let (a, b) = (start + k, start + k + half)
          let (c, s) = (cosines[k * turn], sines[k * turn])
          let (x, y) = (real[b] * c - imaginary[b] * s, real[b] * s + imaginary[b] * c)
          (real[b], imaginary[b]) = (real[a] - x, imaginary[a] - y)
          (real[a], imaginary[a]) = (real[a] + x, imaginary[a] + y)
        }
      }
      half *= 2
    }
    for k in power.indices { power[k] = real[k] * real[k] + imaginary[k] * imaginary[k] }
  }
}

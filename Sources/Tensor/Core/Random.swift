import Foundation

/// Counter-based random numbers (Philox 4×32-10; Salmon et al., "Parallel random numbers: as easy
/// as 1, 2, 3", SC 2011).
///
/// A draw is a pure function of `(seed, purpose, a, b, index)`, so shuffling, augmentation,
/// initialization and stochastic depth do not depend on the number of threads, ranks or loader
/// workers, and a resumed run sees exactly the numbers that an uninterrupted one would.
public struct CounterRandom: Sendable {
  /// What the numbers are for. Two purposes never share a sequence.
  public enum Purpose: UInt32, Sendable {
    case initialization = 1
    case shuffle = 2
    case augmentation = 3
    case stochasticDepth = 4
    case gateNoise = 5
    case synthesis = 6
    case benchmark = 7
    case test = 8
    case sampling = 9
    case dropout = 10
    case split = 11
    case window = 12
    case groupMember = 13
    case caption = 14
    case recording = 15
  }

  private let key0: UInt32
  private let key1: UInt32
  private let a: UInt32
  private let b: UInt32

  /// - Parameters:
  ///   - seed: the run's seed.
  ///   - purpose: separates independent uses of one seed.
  ///   - a: first coordinate, such as an epoch, a step or a parameter's hash.
  ///   - b: second coordinate, such as a layer or a sample.
  public init(seed: UInt64, purpose: Purpose, a: UInt64 = 0, b: UInt64 = 0) {
    // Mixed down to the 64-bit key and 64 bits of counter that Philox 4×32 leaves beside the index.
    let mixed = CounterRandom.mix(seed ^ CounterRandom.mix(UInt64(purpose.rawValue)))
    key0 = UInt32(truncatingIfNeeded: mixed)
    key1 = UInt32(truncatingIfNeeded: mixed >> 32)
    let coordinates = CounterRandom.mix(CounterRandom.mix(a) &+ 0x632B_E59B_D9B4_E019 &* (b &+ 1))
    self.a = UInt32(truncatingIfNeeded: coordinates)
    self.b = UInt32(truncatingIfNeeded: coordinates >> 32)
  }

  /// Four independent 32-bit words for one index.
  @inlinable
  public func block(_ index: UInt64) -> SIMD4<UInt32> { philox(index) }

  @usableFromInline
  func philox(_ index: UInt64) -> SIMD4<UInt32> {
    var c0 = UInt32(truncatingIfNeeded: index)
    var c1 = UInt32(truncatingIfNeeded: index >> 32)
    var c2 = a
    var c3 = b
    var k0 = key0
    var k1 = key1
    for _ in 0..<10 {
      let p0 = UInt64(0xD251_1F53) &* UInt64(c0)
      let p1 = UInt64(0xCD9E_8D57) &* UInt64(c2)
      let n0 = UInt32(truncatingIfNeeded: p1 >> 32) ^ c1 ^ k0
      let n2 = UInt32(truncatingIfNeeded: p0 >> 32) ^ c3 ^ k1
      c1 = UInt32(truncatingIfNeeded: p1)
      c3 = UInt32(truncatingIfNeeded: p0)
      c0 = n0
      c2 = n2
      k0 &+= 0x9E37_79B9
      k1 &+= 0xBB67_AE85
    }
    return SIMD4(c0, c1, c2, c3)
  }

  /// A uniform number in `[0, 1)` with 24 random bits.
  public func uniform(_ index: UInt64) -> Float {
    let word = philox(index >> 2)[Int(index & 3)]
    return Float(word >> 8) * 0x1p-24
  }

  /// A uniform number in `low..<high`.
  public func uniform(_ index: UInt64, _ low: Float, _ high: Float) -> Float {
    low + (high - low) * uniform(index)
  }

  /// A uniform integer in `0..<bound` (Lemire's multiply-shift; bias below 2⁻³² × bound).
  public func integer(_ index: UInt64, below bound: Int) -> Int {
    let word = philox(index >> 2)[Int(index & 3)]
    return Int((UInt64(word) &* UInt64(bound)) >> 32)
  }

  /// A uniform integer in `0..<bound` from 64 random bits, for bounds beyond 2³².
  public func wideInteger(_ index: UInt64, below bound: Int) -> Int {
    let words = philox(index)
    return Int((UInt64(words[0]) << 32 | UInt64(words[1])).multipliedFullWidth(by: UInt64(bound)).high)
  }

  /// A standard normal number (Box–Muller, evaluated in double precision).
  public func normal(_ index: UInt64) -> Float {
    let words = philox(index)
    let u1 = (Double(words[0]) + 1) * 0x1p-32
    let u2 = Double(words[1]) * 0x1p-32
    return Float((-2 * log(u1)).squareRoot() * cos(2 * Double.pi * u2))
  }

  /// A permutation of `0..<count`: Fisher–Yates driven by this sequence.
  public func permutation(_ count: Int) -> [Int] {
    var order = Array(0..<count)
    guard count > 1 else { return order }
    for i in stride(from: count - 1, to: 0, by: -1) {
      order.swapAt(i, integer(UInt64(i), below: i + 1))
    }
    return order
  }

  /// A 64-bit hash of a name, stable across platforms and runs (FNV-1a, mixed).
  public static func hash(_ name: String) -> UInt64 {
    var h: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in name.utf8 { h = (h ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    return mix(h)
  }

  /// SplitMix64's finalizer.
  static func mix(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// Per-channel standardization of pixels: `(value / 255 − mean) / deviation`.
public struct PixelNormalization: Sendable, Codable, Equatable {
  /// Mean of red, green and blue in units of 0…1.
  public var mean: SIMD3<Float>
  /// Standard deviation of red, green and blue in units of 0…1.
  public var deviation: SIMD3<Float>

  public init(mean: SIMD3<Float>, deviation: SIMD3<Float>) {
    self.mean = mean
    self.deviation = deviation
  }

  /// Leaves 0…255 as they are.
  static let bytes = PixelNormalization(mean: .zero, deviation: SIMD3(repeating: 1 / 255))
  /// Maps 0…255 to −1…1.
  public static let unit = PixelNormalization(
    mean: SIMD3(repeating: 0.5), deviation: SIMD3(repeating: 0.5))
  /// The statistics of ImageNet's training set that published models use.
  public static let imageNet = PixelNormalization(
    mean: SIMD3(0.485, 0.456, 0.406), deviation: SIMD3(0.229, 0.224, 0.225))
}

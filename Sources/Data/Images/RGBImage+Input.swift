import MMoETensor

extension RGBImage {
  /// The largest centered square as evaluation shows it to a model, `[1, 3, S, S]`.
  package func input(side: Int, normalization: PixelNormalization) -> Tensor {
    let tensor = Tensor(uninitialized: [1, 3, side, side])
    Resampler(side: side, normalization: normalization).render(self, ImageView(centerOf: self), into: tensor.pointer)
    return tensor
  }

  /// The picture of what a model reads, `[3, S, S]`.
  package init(input values: UnsafeBufferPointer<Float>, side: Int, normalization: PixelNormalization) {
    let plane = side * side
    precondition(values.count == 3 * plane, "\(values.count) numbers for a side of \(side)")
    var bytes = [UInt8](repeating: 0, count: 3 * plane)
    for c in 0..<3 {
      for at in 0..<plane {
        let value = (values[c * plane + at] * normalization.deviation[c] + normalization.mean[c]) * 255
        bytes[at * 3 + c] = UInt8(min(max(value, 0), 255).rounded())
      }
    }
    self.init(width: side, height: side, pixels: bytes)
  }
}

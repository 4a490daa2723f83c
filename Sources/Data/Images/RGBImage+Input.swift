import MMoETensor

extension RGBImage {
  /// The largest centered square as evaluation shows it to a model, `[1, 3, S, S]`.
  package func input(side: Int, normalization: PixelNormalization) -> Tensor {
    let tensor = Tensor(uninitialized: [1, 3, side, side])
    Resampler(side: side, normalization: normalization).render(self, ImageView(centerOf: self), into: tensor.pointer)
    return tensor
  }
}

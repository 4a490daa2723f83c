import MMoETensor

extension SampleFormat {
  /// Files as evaluation shows them to a model, decoded on all cores.
  ///
  /// - Parameters:
  ///   - shape: of a sample, `[channels, height, width]`.
  ///   - normalization: of pictures.
  /// - Returns: `[n, channels, height, width]`.
  /// - Throws: `DataError` naming a file that cannot be decoded.
  public func samples(_ paths: [String], shape: [Int], normalization: PixelNormalization) throws -> Tensor {
    write(try paths.mapInParallel(grain: 4) { try decode($0, shape) }, shape: shape, normalization: normalization)
  }

  /// Decoded files as evaluation shows them to a model.
  func write(_ samples: [any DecodedSample], shape: [Int], normalization: PixelNormalization) -> Tensor {
    let values = Tensor(uninitialized: [samples.count] + shape)
    let writer = writer(shape, SampleSettings(augmentation: .none, normalization: normalization, varies: false))
    let length = shape.reduce(1, *)
    for (row, sample) in samples.enumerated() {
      writer(sample, CounterRandom(seed: 0, purpose: .augmentation), values.pointer + row * length)
    }
    return values
  }
}

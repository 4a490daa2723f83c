import MMoETensor

extension SampleFormat {
  /// Files as evaluation shows them to a model, decoded on all cores.
  ///
  /// - Parameters:
  ///   - shape: of a sample, `[channels, height, width]`.
  ///   - normalization: of pictures.
  /// - Returns: `[n, channels, height, width]`.
  /// - Throws: `DataError` naming a file that cannot be decoded, or for a shape that samples cannot have.
  public func samples(_ paths: [String], shape: [Int], normalization: PixelNormalization) throws -> Tensor {
    try SampleFormat.require(shape, of: field)
    guard !paths.isEmpty else { throw DataError(field: "the \(plural)", found: "none", expected: "at least one file") }
    return write(
      try paths.mapInParallel(grain: 4) { try decode($0, shape) }, shape: shape, normalization: normalization)
  }

  /// - Throws: `DataError` for a shape that no sample has. What a format asks of it beyond that, `decode` looks at.
  static func require(_ shape: [Int], of field: String) throws(DataError) {
    guard shape.count == 3, shape.allSatisfy({ $0 >= 1 }), shape.reduce(1, { $0 * Double($1) }) <= largest else {
      throw DataError(
        field: "the shape of a sample of the field \(field)", found: "\(shape)",
        expected: "[channels, height, width], at most \(Int(largest)) numbers")
    }
  }

  /// Numbers of a sample.
  private static let largest = 0x1p28

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

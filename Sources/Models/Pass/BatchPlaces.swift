/// Numbers of a pass's sequences and rows that are the same however the batch is divided, for draws of random numbers.
struct BatchPlaces {
  /// More than a batch has samples.
  static let samples: UInt64 = 1 << 28
  /// More than any sequence's place.
  static let end: UInt64 = 1 << 36

  let sequences: [UInt64]
  let rows: [UInt64]

  /// - Parameters:
  ///   - sequences: the place of each.
  ///   - lengths: rows of each.
  ///   - longest: rows of the longest sequence that the model can read.
  init(_ sequences: [UInt64], lengths: [Int], longest: Int) {
    self.sequences = sequences
    rows = zip(sequences, lengths).flatMap { place, length in
      (0..<length).map { place &* UInt64(longest) &+ UInt64($0) }
    }
  }
}

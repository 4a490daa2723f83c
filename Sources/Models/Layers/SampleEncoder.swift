import MMoETensor

/// The way from the samples of a modality to rows that blocks read.
public protocol SampleEncoder {
  /// In the order of the network.
  var parameters: [Parameter] { get }
  /// - Parameter samples: `[n]` and the shape of a sample, normalized.
  /// - Returns: `[n · rows, d]`, the rows of a sample one after the other.
  /// - Throws: where it cannot; the pass is then void.
  func callAsFunction(_ samples: Tensor, _ tape: Tape) throws -> Tensor
}

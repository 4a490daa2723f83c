/// A small trained change of a weight that itself keeps its value: `W + scale · B · A` (LoRA, Hu et al., arXiv
/// 2106.09685, section 4.1). Stacked weights have one a group.
public final class LowRankAdapter {
  /// `[…, rank, in]`.
  public let a: Parameter
  /// `[…, out, rank]`; 0 at the start, so that training begins from the weight as it is.
  public let b: Parameter
  /// α / rank.
  public let scale: Float
  public var rank: Int { b.shape[b.shape.count - 1] }

  public init(a: Parameter, b: Parameter, scale: Float) {
    (self.a, self.b, self.scale) = (a, b, scale)
  }
}

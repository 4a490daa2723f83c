/// An operator of the backbone that a route's exchange can hide behind.
public struct WindowOperator: Sendable, Hashable {
  public enum Kind: String, Sendable, Hashable {
    case attention, mlp
    case shared = "shared expert"
  }
  public let block: Int
  public let kind: Kind

  public init(block: Int, kind: Kind) {
    self.block = block
    self.kind = kind
  }

  /// The same of a block that is numbered after those of another tower.
  public func moved(by blocks: Int) -> WindowOperator { WindowOperator(block: block + blocks, kind: kind) }
}

extension ModelConfig {
  /// The operators that run between a route's departure and the end of its block, in order (arXiv 2404.05019, section 3):
  /// Pos-1 attention and shared expert, Pos-2 the MLP before them, Pos-3 the attention before that.
  public func window(of route: Route, into block: Int, variant: MoEVariant) -> [WindowOperator] {
    func body(_ index: Int) -> [WindowOperator] {
      guard isMoE(index) else { return [WindowOperator(block: index, kind: .mlp)] }
      return variant.sharedExpert ? [WindowOperator(block: index, kind: .shared)] : []
    }
    let source = block - route.source.blocksBack
    var operators: [WindowOperator] = []
    for index in max(source, 0)...block {
      let isSource = index == source
      if isSource && route.source.site == .output { continue }
      if !(isSource && route.source.site == .afterAttention) {
        operators.append(WindowOperator(block: index, kind: .attention))
      }
      operators += body(index)
    }
    return operators
  }
}

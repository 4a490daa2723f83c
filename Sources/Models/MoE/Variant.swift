/// A state of the residual stream: which block, and where in it.
public struct RouteSource: Sendable, Hashable {
  public enum Site: String, Sendable, Hashable {
    case input, afterAttention, output
  }
  /// 0 = the block that holds the experts, 1 = the one before …
  public let blocksBack: Int
  public let site: Site

  public static let current = RouteSource(blocksBack: 0, site: .afterAttention)
  /// The preceding block's output.
  public static let position1 = RouteSource(blocksBack: 1, site: .output)
  /// The preceding block's state after attention.
  public static let position2 = RouteSource(blocksBack: 1, site: .afterAttention)
  /// The preceding block's input.
  public static let position3 = RouteSource(blocksBack: 1, site: .input)
}

/// One gated call of the experts: from where, how many choices.
public struct Route: Sendable, Equatable {
  public let source: RouteSource
  public let k: Int
  /// The token may not take the expert that the route before this one chose (DGMoE's constraint).
  public let avoidsPreviousRoute: Bool

  public init(_ source: RouteSource, k: Int, avoidsPreviousRoute: Bool = false) {
    self.source = source
    self.k = k
    self.avoidsPreviousRoute = avoidsPreviousRoute
  }
}

/// A block as a dense path plus routes:
/// `out = h + [shared expert](norm(h)) + Σ_routes Σ_{e ∈ top-k(gate(source))} p_e · Expert_e(norm(source))`.
///
/// Every architecture of arXiv 2404.05019 is one value. Forward and backward pass, the moment at which a route may
/// start and must be back, checkpoints and logs follow from it. A new variant is a new line in `table`.
public struct MoEVariant: Sendable, Equatable {
  public let name: String
  public let summary: String
  public let sharedExpert: Bool
  public let routes: [Route]

  /// Every fixed variant; `top<k>` with another k is made by `resolve`.
  ///
  /// `shortcut` is the source that `moe.position` names.
  static func table(shortcut: RouteSource, constrained: Bool) -> [MoEVariant] {
    [
      MoEVariant(
        name: "top1", summary: "one routed expert a token", sharedExpert: false,
        routes: [Route(.current, k: 1)]),
      MoEVariant(
        name: "top2", summary: "two routed experts a token", sharedExpert: false,
        routes: [Route(.current, k: 2)]),
      MoEVariant(
        name: "top3", summary: "three routed experts a token", sharedExpert: false,
        routes: [Route(.current, k: 3)]),
      MoEVariant(
        name: "shared", summary: "a shared expert and one routed expert", sharedExpert: true,
        routes: [Route(.current, k: 1)]),
      MoEVariant(
        name: "scmoe", summary: "ScMoE: shared expert here, routed expert fed by the block before",
        sharedExpert: true, routes: [Route(shortcut, k: 1)]),
      MoEVariant(
        name: "scmoe2", summary: "ScMoE-2: as scmoe with two routed experts",
        sharedExpert: true, routes: [Route(shortcut, k: 2)]),
      MoEVariant(
        name: "dgmoe", summary: "DGMoE: one expert for the preceding state, another for the current",
        sharedExpert: false,
        routes: [Route(shortcut, k: 1), Route(.current, k: 1, avoidsPreviousRoute: constrained)]),
    ]
  }

  /// All variants with the default options, for listings and tests.
  public static var all: [MoEVariant] { table(shortcut: .position2, constrained: true) }

  /// The value that a configuration names.
  /// - Throws: `ModelError` for an unknown name or position.
  public static func resolve(_ config: MoEConfig) throws -> MoEVariant {
    let positions: [RouteSource] = [.position1, .position2, .position3]
    guard (1...3).contains(config.position) else {
      throw ModelError("moe.position is \(config.position); use 1, 2 or 3")
    }
    let variants = table(
      shortcut: positions[config.position - 1], constrained: config.constrained)
    if let variant = variants.first(where: { $0.name == config.variant }) { return variant }
    if config.variant.hasPrefix("top"), let k = Int(config.variant.dropFirst(3)), k >= 1 {
      return MoEVariant(
        name: config.variant, summary: "\(k) routed experts a token", sharedExpert: false,
        routes: [Route(.current, k: k)])
    }
    let names = ["dense"] + variants.map(\.name)
    throw ModelError(
      "moe.variant is '\(config.variant)'; valid are \(names.joined(separator: ", ")) and top<k>")
  }

  /// Expert calls a token makes: routed choices plus the shared expert.
  public var activeExperts: Int { routes.reduce(sharedExpert ? 1 : 0) { $0 + $1.k } }
}

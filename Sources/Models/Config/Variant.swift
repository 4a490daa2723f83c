import MMoEFiles

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

  public init(blocksBack: Int, site: Site) {
    self.blocksBack = blocksBack
    self.site = site
  }

  /// Whether block `block` of a network has it: the first block's input is the output of block −1.
  public func exists(before block: Int) -> Bool {
    block >= blocksBack || (block == blocksBack - 1 && site == .output)
  }
}

/// As text: `2:attention`, the blocks back and the site.
extension RouteSource: LosslessStringConvertible {
  private static let names: [(site: Site, name: String)] = [
    (.input, "input"), (.afterAttention, "attention"), (.output, "output"),
  ]

  public init?(_ description: String) {
    let parts = description.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, let back = Int(parts[0]), back >= 0,
      let site = RouteSource.names.first(where: { $0.name == parts[1] })?.site,
      back > 0 || site != .output
    else { return nil }
    self.init(blocksBack: back, site: site)
  }

  public var description: String {
    "\(blocksBack):\(RouteSource.names.first { $0.site == site }!.name)"
  }
}

extension RouteSource: Comparable {
  /// Earlier in the network comes first.
  public static func < (a: RouteSource, b: RouteSource) -> Bool {
    func place(_ source: RouteSource) -> Int { RouteSource.names.firstIndex { $0.site == source.site }! }
    return a.blocksBack != b.blocksBack ? a.blocksBack > b.blocksBack : place(a) < place(b)
  }
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
/// start and must be back, checkpoints and logs follow from it. A new variant is a new line in `shipped`; a program outside
/// of the package registers its own.
public struct MoEVariant: Sendable, Equatable {
  public let name: String
  public let summary: String
  public let sharedExpert: Bool
  public let routes: [Route]

  public init(name: String, summary: String, sharedExpert: Bool, routes: [Route]) {
    (self.name, self.summary, self.sharedExpert, self.routes) = (name, summary, sharedExpert, routes)
  }

  /// What a configuration makes of a name; `shortcut` is the source that `moe.position` names.
  private typealias Form = @Sendable (_ config: MoEConfig, _ shortcut: RouteSource) -> MoEVariant

  /// Every fixed variant; `top<k>` with another k is made by `resolve`.
  private static let registry: Registry<Form> = {
    let names = shipped(MoEConfig(), shortcut: .position2).map(\.name)
    return Registry(
      "variant",
      names.enumerated().map { index, name in (name, { shipped($0, shortcut: $1)[index] }) })
  }()

  /// Adds a variant of one's own, before a configuration that names it is read.
  ///
  /// - Throws: `RegistryError` for a name that is taken; `ModelError` for routes that no block can have.
  public static func register(_ variant: MoEVariant) throws {
    func require(_ condition: Bool, _ field: String, _ found: String, _ expected: String) throws {
      guard !condition else { return }
      throw ModelError(field: "\(field) of the variant \(variant.name)", found: found, expected: expected)
    }
    let routes = variant.routes
    try require((1...8).contains(routes.count), "the routes", "\(routes.count)", "1 to 8 of them")
    try require(
      Set(routes.map(\.source)).count == routes.count, "the sources", "\(routes.map(\.source.description))",
      "each of them once")
    for route in routes {
      try require(route.k >= 1, "the choices of the route from \(route.source)", "\(route.k)", "at least 1")
      try require(
        route.source.blocksBack >= 0 && (route.source.blocksBack > 0 || route.source == .current), "a source",
        "\(route.source)", "a state that comes before the block's experts")
    }
    for (index, route) in routes.enumerated() where route.avoidsPreviousRoute {
      try require(
        index > 0 && routes[index - 1].source < route.source, "route \(index)",
        "one that avoids the choice of the route before it", "such a route with an earlier source before it")
    }
    try require(
      variant.name != "dense" && !(variant.name.hasPrefix("top") && Int(variant.name.dropFirst(3)) != nil), "the name",
      "'\(variant.name)'", "another one than dense and top<k>")
    try registry.register(variant.name) { _, _ in variant }
  }

  private static func shipped(_ config: MoEConfig, shortcut: RouteSource) -> [MoEVariant] {
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
        routes: [Route(shortcut, k: 1), Route(.current, k: 1, avoidsPreviousRoute: config.constrained)]),
      MoEVariant(
        name: "hierarchical", summary: "shared expert here, a routed expert from each of moe.sources",
        sharedExpert: true, routes: config.sources.sorted().map { Route($0, k: 1) }),
    ]
  }

  /// All variants with the default options, for listings and tests.
  public static var all: [MoEVariant] { registry.values.map { $0(MoEConfig(), .position2) } }

  /// The names that `moe.variant` takes, for help and errors.
  public static var listing: String {
    (["dense", "top<k>"] + registry.names.filter { !["top1", "top2", "top3"].contains($0) }).joined(separator: ", ")
  }

  /// The value that a configuration names.
  /// - Throws: `ModelError` for an unknown name or position.
  public static func resolve(_ config: MoEConfig) throws -> MoEVariant {
    let positions: [RouteSource] = [.position1, .position2, .position3]
    guard (1...3).contains(config.position) else {
      throw ModelError(field: "moe.position", found: "\(config.position)", remedy: "use 1, 2 or 3")
    }
    if let form = registry[config.variant] { return form(config, positions[config.position - 1]) }
    if config.variant.hasPrefix("top"), let k = Int(config.variant.dropFirst(3)), k >= 1 {
      return MoEVariant(
        name: config.variant, summary: "\(k) routed experts a token", sharedExpert: false,
        routes: [Route(.current, k: k)])
    }
    throw ModelError(field: "moe.variant", found: "'\(config.variant)'", remedy: "valid are \(listing)")
  }

  /// How many blocks back the furthest source is.
  public var reach: Int { routes.map(\.source.blocksBack).max() ?? 0 }
}

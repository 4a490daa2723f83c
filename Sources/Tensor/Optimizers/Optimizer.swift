import MMoEFiles

/// A rule by which gradients change parameters, with named arrays that it keeps for each of them.
///
/// It knows neither the gradients' norm and clipping, nor which ranks update which numbers, nor files: `Updater` hands it
/// tiles of numbers, and checkpoints save and restore its arrays by their names. A further optimizer is a conforming type in
/// a file of its own and a line of `OptimizerKind.registry`; a program outside of the package registers its own.
public protocol Optimizer: Sendable {
  /// The word for it in `optimizer.kind`, profiles and messages.
  static var name: String { get }
  /// Completes "name = …" in the help.
  static var summary: String { get }
  /// What it reads of `optimizer.*` beside what every optimizer has (`OptimizerKind.common`).
  static var keys: Set<String> { get }

  init(_ config: OptimizerConfig)

  /// Names of the arrays that it keeps for a parameter: each of the parameter's shape, 0 at the start, and in checkpoints
  /// under `optimizer/NAME`.
  func state(of parameter: Parameter) -> [String]

  /// As many numbers of a parameter follow from one another in a step: it is cut among tiles, ranks and rates at multiples
  /// of them only. 1 = every number by itself.
  func unit(of parameter: Parameter) -> Int

  /// Floating-point operations of the matrix products of one step on a parameter.
  func flops(of parameter: Parameter) -> Double

  /// Makes a step, in parallel over the tiles; what a tile becomes depends on that tile alone.
  ///
  /// - Parameters:
  ///   - number: of the step, counted from 1.
  ///   - tiles: of parameters that have a gradient, each of at least one unit; those of a unit over 1 are exactly one.
  ///   - scale: by which all gradients are multiplied, for clipping.
  func step(_ number: Int, _ tiles: [UpdateTile], scale: Float, engine: Engine)
}

extension Optimizer {
  public func unit(of parameter: Parameter) -> Int { 1 }
  public func flops(of parameter: Parameter) -> Double { 0 }

  /// Arrays of a parameter's size that a step reads or writes: values and state both, the gradient is read.
  public func passes(of parameter: Parameter) -> Int { 3 + 2 * state(of: parameter).count }
}

/// Numbers of one parameter that lie side by side, with all that a step needs to know of them.
public struct UpdateTile {
  public let parameter: Parameter
  public let values: UnsafeMutablePointer<Float>
  public let gradient: UnsafePointer<Float>
  /// In the order of `Optimizer.state(of:)`.
  public let state: [UnsafeMutablePointer<Float>]
  public let count: Int
  /// The learning rate of these numbers in this step.
  public let lr: Float
  /// Decoupled weight decay; 0 for parameters without it.
  public let decay: Float

  public init(
    _ parameter: Parameter, values: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
    state: [UnsafeMutablePointer<Float>], count: Int, lr: Float, decay: Float
  ) {
    (self.parameter, self.values, self.gradient, self.state) = (parameter, values, gradient, state)
    (self.count, self.lr, self.decay) = (count, lr, decay)
  }
}

/// The optimizers by the word for them in `optimizer.kind`.
public struct OptimizerKind: RawRepresentable, CaseIterable, Hashable, Sendable {
  /// All there are: a further one is a further line.
  private static let registry: Registry<OptimizerKind> = {
    let types: [any Optimizer.Type] = [AdamW.self, Muon.self, SGD.self]
    return Registry("optimizer", types.map { ($0.name, OptimizerKind($0)) })
  }()
  public static var allCases: [OptimizerKind] { registry.values }

  /// Adds an optimizer of one's own, before a configuration that names it is read.
  ///
  /// - Throws: `RegistryError` for a name that is taken or that a configuration cannot have.
  public static func register(_ type: any Optimizer.Type) throws(RegistryError) {
    try registry.register(type.name, OptimizerKind(type))
  }

  public static let standard = OptimizerKind(AdamW.self)
  /// What of `optimizer.*` holds for every optimizer, since it is done around it.
  public static let common: Set<String> = ["kind", "lr", "weight_decay", "clip"]

  private let type: any Optimizer.Type

  private init(_ type: any Optimizer.Type) { self.type = type }

  public init?(rawValue: String) {
    guard let kind = OptimizerKind.registry[rawValue] else { return nil }
    self = kind
  }

  public var rawValue: String { type.name }
  public var summary: String { type.summary }

  public func make(_ config: OptimizerConfig) -> any Optimizer { type.init(config) }

  /// Whether a key such as `optimizer.momentum` does something.
  public func uses(_ key: String) -> Bool {
    guard key.hasPrefix("optimizer.") else { return true }
    let name = String(key.dropFirst("optimizer.".count))
    return OptimizerKind.common.contains(name) || type.keys.contains(name)
  }

  public static func == (a: Self, b: Self) -> Bool { a.rawValue == b.rawValue }
  public func hash(into hasher: inout Hasher) { hasher.combine(rawValue) }
}

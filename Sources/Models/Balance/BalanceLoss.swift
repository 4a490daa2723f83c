import MMoEFiles
import MMoETensor

/// A loss that judges how one gate's tokens are spread over the experts, of the step's whole batch.
///
/// A balance loss is one file with one conformer, and a line in `BalanceTable`, or a registration from outside of the package. What it needs added up over ranks and
/// micro-batches it gives as a vector, which travels with the other sums of the gate's call.
public protocol BalanceLoss: SendableMetatype {
  /// What `moe.balance` calls it.
  static var name: String { get }
  /// Checks that a model can have it.
  /// - Throws: `ModelError` naming the first field that does not fit.
  static func validate(_ model: ModelConfig) throws
  /// Whether its gradient in one micro-batch depends on the other micro-batches of the step, so that all must be routed before
  /// any is trained on.
  ///
  /// - Parameter unevenParts: whether micro-batches may differ in their numbers of tokens.
  static func judgesWholeBatches(unevenParts: Bool) -> Bool

  init()
  /// What is to be added up over all parts of the batch, besides the sums that every call has.
  func measure(_ call: GatedCall, _ engine: Engine) -> [Double]
  /// Adds the loss of one call to the objective. The mean of the parts' losses, and of their gradients, is that of the batch.
  ///
  /// - Parameters:
  ///   - sums: of the whole batch, with this loss's own in `RoutingSums.balance`.
  ///   - parts: ranks times micro-batches that the sums cover.
  /// - Returns: the loss without `weight`.
  func add(_ call: GatedCall, _ sums: RoutingSums, parts: Int, weight: Float, _ tape: Tape) -> Float
}

extension BalanceLoss {
  public static func validate(_ model: ModelConfig) throws {}
  public static func judgesWholeBatches(unevenParts: Bool) -> Bool { true }
  public func measure(_ call: GatedCall, _ engine: Engine) -> [Double] { [] }
}

/// One call of a gate on one part of the batch, as losses see it.
public struct GatedCall {
  public let choice: GateChoice
  /// `[T, choices]` before and after noise.
  public let logits, noisyLogits: Tensor
  /// Standard deviation of the noise; 0 = none.
  public let noise: Float
  public let tags: TokenTags
  /// Which experts tokens of each modality may take; nil = of one modality.
  public let allowed: [[Bool]]?
}

/// Every balance loss there is.
public enum BalanceTable {
  private static let registry: Registry<any BalanceLoss.Type> = {
    let types: [any BalanceLoss.Type] = [
      AllChoicesBalance.self, FirstChoiceBalance.self, ImportanceLoadBalance.self, EntropyBalance.self,
      SequenceBalance.self,
    ]
    return Registry("balance loss", types.map { ($0.name, $0) })
  }()

  /// Adds a balance loss of one's own, before a configuration that names it is read.
  ///
  /// - Throws: `RegistryError` for a name that is taken or that a configuration cannot have.
  public static func register(_ loss: any BalanceLoss.Type) throws(RegistryError) {
    guard loss.name != "none" else {
      throw RegistryError(
        field: "the balance loss none", found: "the word for no loss", expected: "another name")
    }
    try registry.register(loss.name, loss)
  }

  /// What `moe.balance` takes.
  package static var names: [String] { registry.names + ["none"] }

  /// The loss that a configuration names; nil = none.
  /// - Throws: `ModelError` for an unknown name.
  package static func loss(_ config: MoEConfig) throws -> (any BalanceLoss.Type)? {
    guard config.balance != "none" else { return nil }
    guard let loss = registry[config.balance] else {
      throw ModelError("moe.balance is '\(config.balance)'; valid are \(names.joined(separator: ", "))")
    }
    return loss
  }
}

extension ModelConfig {
  /// Whether a loss of the gates depends on the batch as a whole, so that all micro-batches of a step must be routed before
  /// any is trained on: one that judges how tokens are spread over the experts, or the z-loss, a mean over the step's tokens.
  ///
  /// - Parameter unevenParts: whether micro-batches may differ in their numbers of tokens.
  public func judgesWholeBatches(unevenParts: Bool) -> Bool {
    guard moe.variant != "dense", (try? RouterTable.router(moe))?.learns == true else { return false }
    let isJudged =
      moe.isBalanced && (try? BalanceTable.loss(moe))??.judgesWholeBatches(unevenParts: unevenParts) == true
    return isJudged || (unevenParts && moe.zLossWeight > 0)
  }
}

extension Tape {
  /// The gradient buffer of a tensor, zero-filled when new, for adjoints that add to parts of it.
  func gradient(of tensor: Tensor) -> Tensor {
    if tensor.gradient == nil { accumulate(Tensor.zeros(tensor.shape), into: tensor) }
    // A tensor that needs no gradient gets a throw-away buffer.
    return tensor.gradient ?? Tensor.zeros(tensor.shape)
  }
}

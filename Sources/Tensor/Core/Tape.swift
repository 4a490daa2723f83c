/// Records operations while they run and walks them back: eager reverse-mode differentiation.
///
/// Every operation is a method in an extension of `Tape`, one file each, with its adjoint beside it. It begins with
/// `read` of the parameters that it is given, which is the only way to their gradients. Loss
/// operations add a term to the objective `Σ weight · value`; `backward()` differentiates that sum. An adjoint
/// is released as soon as it has run, so that what it kept returns to the buffer pool.
public final class Tape {
  /// One term of the objective.
  public struct LossTerm: Sendable {
    public let name: String
    public let value: Double
    public let weight: Float
  }

  public let engine: Engine
  /// Whether a backward pass will follow. When false, nothing is kept.
  public let isRecording: Bool
  /// Whether a sequence is continued token by token, with what was computed for earlier tokens.
  public var isGenerating = false
  /// Whether this pass, which is not recorded, must have the digits of one that is.
  public var repeatsRecorded = false
  public private(set) var losses: [LossTerm] = []
  /// Where in the network the operations stand, such as `blocks.3`; names what `firstNotFinite` finds.
  public var scope = ""
  /// Whether every operation's output is searched for NaN and infinities: what a failed step is replayed with.
  public var searchesNotFinite = false
  /// The first output that was not finite, when searched for.
  public private(set) var firstNotFinite: String?
  /// What a layer or a router from outside of the package did wrong; the pass means nothing then.
  public private(set) var failure: (any Error)?
  /// Outputs looked at before it.
  public private(set) var inspectedOutputs = 0
  private var adjoints: [(name: String, scope: String, run: () -> Void)] = []
  /// Whether a trainable parameter was met: what was computed before needs no gradient.
  private var dependsOnTrained: Bool

  /// - Parameter skipsFrozen: record nothing until a parameter is met that is not frozen, so that the backward pass ends
  ///   there and the activations before it are not kept. Not where ranks await each other's gradients: what one rank
  ///   sends another must take.
  public init(_ engine: Engine, recording: Bool, skipsFrozen: Bool = false) {
    self.engine = engine
    isRecording = recording
    dependsOnTrained = !skipsFrozen
  }

  /// `Σ weight · value` over all loss terms.
  public var objective: Double { losses.reduce(0) { $0 + Double($1.weight) * $1.value } }

  /// Notes what makes the pass void; the first one counts.
  public func fail(_ error: any Error) { failure = failure ?? error }

  /// - Throws: `failure`, where there is one.
  package func requireNoFailure() throws {
    if let failure { throw failure }
  }

  /// Differentiates the objective. Gradients are added to those of the parameters.
  ///
  /// - Throws: what a layer from outside of the package did wrong, such as a gradient of another shape.
  public func differentiate() throws {
    try requireNoFailure()
    backward()
    try requireNoFailure()
  }

  /// The same for layers of the package alone.
  package func backward() {
    while let step = adjoints.popLast() {
      scope = step.scope
      timed(step.name, .backward) { step.run() }
    }
    scope = ""
  }

  // ---- for operations, those of other modules included -------------------------------------------

  /// Runs one part of an operation under its name.
  public func timed<Result>(
    _ name: String, _ kind: Timeline.Kind = .forward, _ body: () throws -> Result
  ) rethrows -> Result {
    engine.progress?()
    guard let timeline = engine.timeline else { return try body() }
    let start = monotonicSeconds()
    defer { timeline.append(name, scope: scope, kind, from: start, to: monotonicSeconds()) }
    return try body()
  }

  /// Registers the adjoint that takes `output`'s gradient to the inputs. Skipped when no gradient arrived.
  ///
  /// - Parameters:
  ///   - definedRows: the leading rows that hold values; nil = all.
  public func record(
    _ name: String, _ output: Tensor, definedRows: Int? = nil, _ adjoint: @escaping (_ dOutput: Tensor) -> Void
  ) {
    inspect(name, output, rows: definedRows)
    guard isRecording, dependsOnTrained else { return }
    let slot = output.slot
    slot.isNeeded = true
    adjoints.append(
      (
        name, scope,
        {
          guard let gradient = slot.gradient else { return }
          slot.gradient = nil
          adjoint(gradient)
        }
      ))
  }

  /// Registers an adjoint of several outputs, which looks for their gradients itself.
  public func record(_ name: String, _ outputs: [Tensor], _ adjoint: @escaping () -> Void) {
    for output in outputs { inspect(name, output, rows: nil) }
    guard isRecording, dependsOnTrained else { return }
    for output in outputs { output.needsGradient = true }
    adjoints.append((name, scope, adjoint))
  }

  /// Registers something to do when the backward pass comes by: all operations recorded later have been reversed.
  public func recordPassage(_ name: String = "passage", _ body: @escaping () -> Void) {
    if isRecording { adjoints.append((name, scope, body)) }
  }

  /// Registers a loss term whose gradient `adjoint` spreads.
  public func recordLoss(
    _ name: String, value: Double, weight: Float, _ adjoint: @escaping () -> Void
  ) {
    losses.append(LossTerm(name: name, value: value, weight: weight))
    if searchesNotFinite, firstNotFinite == nil {
      inspectedOutputs += 1
      if !value.isFinite { firstNotFinite = "loss \(name)" }
    }
    if isRecording { adjoints.append((name, scope, adjoint)) }
  }

  /// Where an adjoint writes the gradient of a tensor: a new buffer to overwrite (beta 0), or the one already
  /// there to add to (beta 1). Nil when no gradient is wanted.
  package func gradientTarget(_ slot: GradientSlot) -> (pointer: UnsafeMutablePointer<Float>, beta: Float)? {
    guard slot.isNeeded else { return nil }
    if let gradient = slot.gradient { return (gradient.pointer, 1) }
    let gradient = Tensor(uninitialized: slot.shape)
    slot.gradient = gradient
    return (gradient.pointer, 0)
  }

  /// Adds `gradient` to that of a tensor. The first one is adopted, not copied: the caller must be its only
  /// other user and must not write to it afterwards.
  public func accumulate(_ gradient: Tensor, into slot: GradientSlot) {
    guard slot.isNeeded else { return }
    guard gradient.count == slot.shape.reduce(1, *) else {
      return fail(
        EngineError(
          field: "the gradient of a tensor of shape \(slot.shape)", found: "of shape \(gradient.shape)",
          expected: "as many numbers"))
    }
    guard let existing = slot.gradient else {
      slot.gradient =
        gradient.shape == slot.shape
        ? gradient
        : Tensor(shape: slot.shape, storage: gradient.storage, offset: gradient.offset)
      return
    }
    engine.addInPlace(existing, gradient)
  }

  /// `gradientTarget` of an adjoint that keeps the tensor's values.
  package func gradientTarget(_ tensor: Tensor) -> (pointer: UnsafeMutablePointer<Float>, beta: Float)? {
    gradientTarget(tensor.slot)
  }

  /// `accumulate` of an adjoint that keeps the tensor's values.
  public func accumulate(_ gradient: Tensor, into tensor: Tensor) {
    accumulate(gradient, into: tensor.slot)
  }

  /// Notes that an operation reads a parameter.
  func meet(_ parameter: Parameter) {
    if !parameter.isFrozen { dependsOnTrained = true }
  }

  private func inspect(_ name: String, _ output: Tensor, rows: Int?) {
    guard searchesNotFinite, firstNotFinite == nil else { return }
    inspectedOutputs += 1
    let count = rows.map { $0 * output.columns } ?? output.count
    guard let index = output.firstNotFinite(count: count) else { return }
    let place = scope.isEmpty ? name : "\(scope) \(name)"
    firstNotFinite =
      "output of \(place) (shape \(output.shape), element \(index) is \(output.pointer[index]))"
  }
}

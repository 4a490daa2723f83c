import Foundation
import MMoETensor

/// Creates parameters by path and keeps them in the order of the network.
public final class ParameterStore {
  public private(set) var parameters: [Parameter] = []
  /// State that is saved but not trained by gradients, such as selection biases; by path.
  public private(set) var buffers: [(path: String, value: Tensor)] = []
  private let engine: Engine
  /// Of the random values; nil leaves weights unset.
  private let seed: UInt64?
  /// Standard deviation of weights; 0 = 1 / √(fan-in).
  private let initStd: Double
  private let lora: LoRAConfig
  /// Whether parameters are shapes alone, without memory.
  private let describes: Bool

  /// - Parameters:
  ///   - seed: of the random values; nil leaves weights unset.
  ///   - initStd: standard deviation of weights; 0 = 1 / √(fan-in).
  ///   - describes: parameters are shapes alone, without memory.
  public init(
    engine: Engine, seed: UInt64?, initStd: Double = 0.02, lora: LoRAConfig = LoRAConfig(), describes: Bool = false
  ) {
    self.lora = lora
    self.describes = describes
    self.engine = engine
    self.seed = seed
    self.initStd = initStd
  }

  /// What a parameter of one's own starts from.
  public enum InitialValues {
    /// Normal with the store's standard deviation times `scale`; with weight decay.
    case normal(scale: Double)
    /// One value, such as a bias's; without weight decay.
    case constant(Float)
  }

  /// A parameter of a layer outside of the package.
  ///
  /// - Parameter path: in the model and in checkpoints, such as `blocks.1.scale`.
  /// - Throws: `ModelError` for a path that is taken, or axes below 1.
  public func parameter(
    _ path: String, _ role: ParameterRole, _ shape: [Int], _ initial: InitialValues
  ) throws(ModelError) -> Parameter {
    try requireNew(path, shape)
    return switch initial {
    case .normal(let scale): weight(path, role, shape, scale: scale)
    case .constant(let value): constant(path, role, shape, value)
    }
  }

  /// - Throws: `ModelError` for a path that something has, or that could not be one.
  func requireFree(_ path: String) throws(ModelError) {
    let parts = path.split(separator: ".", omittingEmptySubsequences: false)
    guard
      parts.allSatisfy({ part in
        !part.isEmpty && part.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
      })
    else {
      throw ModelError(
        field: "the path of a parameter", found: "'\(path)'", expected: "letters, digits and '_' between dots")
    }
    let taken = parameters.map(\.path) + buffers.map(\.path)
    guard !taken.contains(where: { $0 == path || $0.hasPrefix(path + ".") || path.hasPrefix($0 + ".") }) else {
      throw ModelError(
        field: "the path '\(path)'", found: "taken, or part of another one's", expected: "one of its own")
    }
  }

  private func requireNew(_ path: String, _ shape: [Int]) throws(ModelError) {
    try requireFree(path)
    guard !shape.isEmpty, shape.allSatisfy({ $0 >= 1 }) else {
      throw ModelError(field: "the shape of \(path)", found: "\(shape)", expected: "axes of at least 1")
    }
  }

  /// A weight with normal values, `[…, out, in]`; decays.
  ///
  /// - Parameters:
  ///   - experts: for stacked experts, those that the first axis holds.
  ///   - scale: factor on the standard deviation.
  func weight(
    _ path: String, _ role: ParameterRole, _ shape: [Int], experts: ExpertShare? = nil, scale: Double = 1
  ) -> Parameter {
    let std = scale * (initStd > 0 ? initStd : 1 / Double(shape.last!).squareRoot())
    return normal(path, role, shape, std: std, experts: experts, decays: true)
  }

  /// Gives a weight `X.weight` its adapter `X.lora_a`, normal with deviation 1 / √in, and `X.lora_b`, zeros, where the
  /// configuration asks for one at such a place. Both have the weight's role.
  func adapt(_ weight: Parameter, _ place: LoRAConfig.Place) {
    guard lora.has(place) else { return }
    let path = weight.path.hasSuffix(".weight") ? String(weight.path.dropLast(7)) : weight.path
    let (stack, out, inner) = (weight.shape.dropLast(2), weight.shape[weight.shape.count - 2], weight.shape.last!)
    let a = normal(
      path + ".lora_a", weight.role, stack + [lora.rank, inner], std: 1 / Double(inner).squareRoot(),
      experts: weight.experts,
      decays: true)
    let b = add(
      Parameter(
        path: path + ".lora_b", role: weight.role, value: filled(stack + [out, lora.rank], 0),
        experts: weight.experts, decays: true))
    weight.adapter = LowRankAdapter(a: a, b: b, scale: Float(lora.alpha / Double(lora.rank)))
  }

  /// A learned table such as positions or a class token, normal with standard deviation 0.02.
  func table(_ path: String, _ role: ParameterRole, _ shape: [Int], decays: Bool) -> Parameter {
    normal(path, role, shape, std: 0.02, experts: nil, decays: decays)
  }

  /// A learned table that starts from given values.
  func table(
    _ path: String, _ role: ParameterRole, _ shape: [Int], _ values: @autoclosure () -> [Float], decays: Bool
  ) -> Parameter {
    add(
      Parameter(
        path: path, role: role, value: describes ? Tensor(describing: shape) : Tensor(values(), shape: shape),
        decays: decays))
  }

  /// A bias or norm parameter filled with one value; never decays, stacked expert biases included.
  ///
  /// - Parameter largest: what no optimizer step exceeds.
  func constant(
    _ path: String, _ role: ParameterRole, _ shape: [Int], _ value: Float, experts: ExpertShare? = nil,
    largest: Float? = nil
  ) -> Parameter {
    add(
      Parameter(
        path: path, role: role, value: filled(shape, value), experts: experts,
        decays: false, largest: largest))
  }

  /// Untrained state of one axis: zeros that are saved with the model. A router's path is below that of its gate.
  ///
  /// - Throws: `ModelError` for a path that is taken, or a count below 1.
  public func buffer(_ path: String, count: Int) throws(ModelError) -> Tensor {
    try requireNew(path, [count])
    let tensor = Tensor.zeros([count])
    buffers.append((path, tensor))
    return tensor
  }

  private func normal(
    _ path: String, _ role: ParameterRole, _ shape: [Int], std: Double, experts: ExpertShare?, decays: Bool
  ) -> Parameter {
    let tensor = describes ? Tensor(describing: shape) : Tensor(uninitialized: shape)
    guard let seed, !describes else {
      return add(Parameter(path: path, role: role, value: tensor, experts: experts, decays: decays))
    }
    // Keyed by the path, so that a parameter's start does not depend on what stands before it.
    let random = CounterRandom(
      seed: seed, purpose: .initialization, a: CounterRandom.hash(path))
    let pointer = tensor.pointer
    // An expert's values are those of its global number.
    let first = (experts?.local.lowerBound ?? 0) * shape.dropFirst().reduce(1, *)
    engine.forRowTiles(tensor.count, target: 1 << 15) { r, _, _ in
      for i in r { pointer[i] = Float(std) * random.normal(UInt64(first + i)) }
    }
    return add(
      Parameter(path: path, role: role, value: tensor, experts: experts, decays: decays))
  }

  private func filled(_ shape: [Int], _ value: Float) -> Tensor {
    describes ? Tensor(describing: shape) : Tensor(repeating: value, shape: shape)
  }

  private func add(_ parameter: Parameter) -> Parameter {
    precondition(!parameters.contains { $0.path == parameter.path }, "twice: \(parameter.path)")
    parameters.append(parameter)
    return parameter
  }
}

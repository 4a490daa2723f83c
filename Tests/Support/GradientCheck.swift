import MMoETensor

/// What a gradient check found: the analytic directional derivative beside the measured one.
public struct GradientCheck: CustomStringConvertible {
  public let name: String
  public let analytic: Double
  public let numeric: Double
  /// ‖gradient‖₂, the expected size of a derivative along a random direction of ±1.
  public let norm: Double

  public init(name: String, analytic: Double, numeric: Double, norm: Double) {
    self.name = name
    self.analytic = analytic
    self.numeric = numeric
    self.norm = norm
  }

  /// Difference over the larger magnitude. A direction that happens to be nearly orthogonal to the gradient has a
  /// tiny derivative, which rounding would drown: it is measured by what a direction usually gives.
  public var error: Double {
    abs(analytic - numeric) / max(abs(analytic), abs(numeric), norm, 1e-3)
  }
  public var description: String {
    "\(name): analytic \(analytic), numeric \(numeric), error \(error)"
  }
}

/// Compares the tape's gradient of every parameter and input with central differences along a random direction.
///
/// - Parameters:
///   - parameters, inputs: what to differentiate by.
///   - step: length of the finite step along a direction of unit elements.
///   - forward: runs the operation and adds loss terms to the tape. Must be a function of its arguments alone.
public func checkGradients(
  engine: Engine, parameters: [Parameter] = [], inputs: [(String, Tensor)] = [],
  step: Float = 1e-2, forward: (Tape) -> Void
) -> [GradientCheck] {
  checkRoutedGradients(engine: engine, parameters: parameters, inputs: inputs, steps: [step]) { tape in
    forward(tape)
    return []
  } ?? []
}

/// The same through routers, whose choices jump: a difference across a jump says nothing about a gradient.
///
/// - Parameters:
///   - steps: tried in order until no choice differs between the two ends of the step.
///   - forward: returns a fingerprint of all choices, such as the experts' loads.
/// - Returns: nil when choices differ for every step: the weights lie too close to a jump, draw others.
public func checkRoutedGradients(
  engine: Engine, parameters: [Parameter] = [], inputs: [(String, Tensor)] = [],
  steps: [Float] = [5e-4, 1.25e-4], forward: (Tape) -> [[Int]]
) -> [GradientCheck]? {
  let tape = Tape(engine, recording: true)
  for parameter in parameters { parameter.clearGradient() }
  for (_, input) in inputs { tape.watch(input) }
  let choices = forward(tape)
  tape.backward()
  var gradients = parameters.map {
    ($0.path, $0.value, $0.hasGradient ? $0.gradient.copy() : Tensor.zeros($0.shape))
  }
  for (name, input) in inputs {
    gradients.append((name, input, input.gradient ?? Tensor.zeros(input.shape)))
    input.takeGradient()
  }
  func objective() -> Double? {
    let tape = Tape(engine, recording: false)
    guard forward(tape) == choices else { return nil }
    return tape.losses.reduce(0) { $0 + Double($1.weight) * $1.value }
  }
  var checks: [GradientCheck] = []
  for (index, (name, value, gradient)) in gradients.enumerated() {
    let random = CounterRandom(seed: 77, purpose: .test, a: UInt64(index))
    let direction = (0..<value.count).map { random.uniform(UInt64($0)) < 0.5 ? Float(-1) : 1 }
    let original = value.values
    var analytic = 0.0
    var squares = 0.0
    for i in 0..<value.count {
      analytic += Double(gradient.pointer[i]) * Double(direction[i])
      squares += Double(gradient.pointer[i]) * Double(gradient.pointer[i])
    }
    func shifted(_ amount: Float) -> Double? {
      for i in 0..<value.count { value.pointer[i] = original[i] + amount * direction[i] }
      defer { for i in 0..<value.count { value.pointer[i] = original[i] } }
      return objective()
    }
    var measured: Double?
    for step in steps where measured == nil {
      guard let upper = shifted(step), let lower = shifted(-step) else { continue }
      measured = (upper - lower) / (2 * Double(step))
    }
    guard let numeric = measured else { return nil }
    checks.append(
      GradientCheck(
        name: name, analytic: analytic, numeric: numeric, norm: squares.squareRoot()))
  }
  return checks
}

/// A tensor of normal numbers, a function of the seed.
public func randomTensor(_ shape: [Int], seed: UInt64, scale: Float = 1) -> Tensor {
  let random = CounterRandom(seed: seed, purpose: .test)
  let tensor = Tensor(uninitialized: shape)
  for i in 0..<tensor.count { tensor.pointer[i] = scale * random.normal(UInt64(i)) }
  return tensor
}

extension Parameter {
  /// One for tests of operations, which do not ask for roles.
  public convenience init(path: String, value: Tensor, experts: ExpertShare? = nil, decays: Bool) {
    self.init(path: path, role: .mlp, value: value, experts: experts, decays: decays)
  }
}

/// A parameter of normal numbers.
public func randomParameter(
  _ path: String, _ shape: [Int], seed: UInt64, scale: Float = 0.3
) -> Parameter {
  Parameter(path: path, value: randomTensor(shape, seed: seed, scale: scale), decays: true)
}

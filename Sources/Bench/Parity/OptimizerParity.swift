import MMoEReport
import MMoETensor
import MMoETrain

/// Steps of an optimizer with given gradients, from a start: which one a case is of follows from its options.
enum OptimizerParity {
  static func run(_ reference: ParityCase, _ engine: Engine) throws -> ParityReport {
    var config = OptimizerConfig()
    if reference.has("meta/momentum") { config.momentum = try reference.number("momentum") }
    guard reference.has("meta/ns_steps") else {
      if reference.has("meta/momentum") { return try steps(of: SGD(config), ["m"], reference, engine) }
      (config.beta1, config.beta2) = (try reference.number("beta1"), try reference.number("beta2"))
      config.epsilon = try reference.number("eps")
      return try steps(of: AdamW(config), ["m", "v"], reference, engine)
    }
    config.nsSteps = try reference.integer("ns_steps")
    let shape = try reference.reader.shape("inputs/p0")
    guard 2...3 ~= shape.count, config.nsSteps >= 0 else {
      throw BenchError(
        "\(reference.file): inputs/p0 has shape \(shape) and meta/ns_steps is \(config.nsSteps), expected a matrix or a stack of them and at least 0"
      )
    }
    var muon = Muon(config)
    muon.nesterov = try reference.flag("nesterov")
    let coefficients = try reference.doubles("meta/ns_coefficients").map(Float.init)
    guard coefficients.count == 3 else {
      throw BenchError("\(reference.file): meta/ns_coefficients has \(coefficients.count) numbers, expected 3")
    }
    muon.coefficients = (coefficients[0], coefficients[1], coefficients[2])
    (muon.epsilon, muon.scale) = (try reference.number("ns_eps"), try reference.number("scale"))
    return try steps(of: muon, ["m"], reference, engine)
  }

  /// - Parameter names: the case's words for the optimizer's arrays.
  private static func steps<Rule: Optimizer>(
    of optimizer: Rule, _ names: [String], _ reference: ParityCase, _ engine: Engine
  ) throws -> ParityReport {
    let values = try reference.tensor("inputs/p0")
    let isStack = values.shape.count > 2
    let parameter = Parameter(
      path: "p", role: isStack ? .experts : .mlp, value: values,
      experts: isStack ? ExpertShare(local: 0..<values.shape[0], of: values.shape[0]) : nil, decays: true)
    let state = optimizer.state(of: parameter).map { _ in Tensor.zeros(values.shape) }
    let unit = optimizer.unit(of: parameter)
    let (length, lr) = (unit > 1 ? unit : values.count, Float(try reference.number("lr")))
    let decay = Float(try reference.number("weight_decay"))
    let gradients = try reference.tensor("inputs/g")
    guard gradients.shape.dropFirst() == values.shape[...] else {
      throw BenchError("\(reference.file): inputs/g has shape \(gradients.shape), expected [steps] + \(values.shape)")
    }
    var found: [String: [Float]] = [:]
    for step in 0..<gradients.shape[0] {
      let gradient = gradients.pointer + step * values.count
      let tiles = stride(from: 0, to: values.count, by: length).map { at in
        UpdateTile(
          parameter, values: values.pointer + at, gradient: UnsafePointer(gradient + at),
          state: state.map { $0.pointer + at }, count: length, lr: lr, decay: decay)
      }
      optimizer.step(step + 1, tiles, scale: 1, engine: engine)
      found["p", default: []] += values.values
      for (name, array) in zip(names, state) { found[name, default: []] += array.values }
      guard let muon = optimizer as? Muon else { continue }
      let u = Tensor(uninitialized: values.shape)
      for i in 0..<u.count {
        u.pointer[i] = muon.nesterov ? gradient[i] + muon.momentum * state[0].pointer[i] : state[0].pointer[i]
      }
      found["o", default: []] += muon.orthogonalized(u, engine: engine).values
    }
    var report = ParityReport()
    for (name, values) in found.sorted(by: { $0.key < $1.key }) {
      report.compare(name, values, try reference.doubles("outputs/\(name)"))
    }
    return report
  }
}

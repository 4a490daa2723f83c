// A layer of one's own with its gradient, in a network of one's own that also has the library's MoE layer: ScMoE, whose routed
// experts read the network's first state.
import MMoEModels
import MMoETensor
import MMoETrain

/// `y = x ⊙ s`, a learned scale for each column.
func columnScale(_ x: Tensor, _ scale: Parameter, _ tape: Tape) -> Tensor {
  let (s, d, xs) = (tape.read(scale), x.columns, x.values)
  let factors = s.value.values
  let y = Tensor(like: x) { y in for i in y.indices { y[i] = xs[i] * factors[i % d] } }
  tape.record("column scale", y) { dY in
    let g = dY.values
    s.addGradient { ds in for i in xs.indices { ds[i % d] += g[i] * xs[i] } }
    tape.accumulate(Tensor(like: x) { dx in for i in dx.indices { dx[i] = g[i] * factors[i % d] } }, into: x)
  }
  return y
}

final class Network: TrainableModel {
  let parameters: [Parameter]
  private let entry, scale, norm, exit: Parameter
  private let moe: MoELayer

  init(engine: Engine) throws {
    let store = ParameterStore(engine: engine, seed: 1, initStd: 0.2)
    var config = MoEConfig()
    (config.variant, config.experts) = ("scmoe", 4)
    entry = try store.parameter("entry", .mlp, [16, 8], .normal(scale: 1))
    scale = try store.parameter("scale", .norms, [16], .constant(0.5))
    norm = try store.parameter("norm", .norms, [16], .constant(1))
    moe = try MoELayer(store, "moe", width: 16, hidden: 32, moe: config)
    exit = try store.parameter("exit", .head, [3, 16], .normal(scale: 1))
    parameters = store.parameters
  }

  func loss(_ rows: Tensor, _ classes: [Int32], _ pass: ForwardPass) throws -> Double {
    let operations = pass.tape.checked
    let first = try operations.linear(rows, weight: entry)
    let routes = try moe.start(from: first, pass: pass)
    let x = columnScale(first, scale, pass.tape)
    let y = try moe(x, normed: operations.rmsNorm(x, weight: norm), routes, pass: pass)
    return try operations.crossEntropy(operations.linear(y, weight: exit), targets: classes).loss
  }
}

let engine = try Engine()
let network = try Network(engine: engine)
let updater = Updater(network.parameters, config: OptimizerConfig(), engine: engine)
let losses = try (0..<80).map { (step: Int) -> Double in
  let classes = (0..<32).map { Int32(($0 + step) % 3) }
  let rows = classes.flatMap { c in (0..<8).map { Float((Int(c) * 5 + $0 * $0) % 7) } }
  for parameter in network.parameters { parameter.clearGradient() }
  let pass = ForwardPass(Tape(engine, recording: true), training: true, step: step)
  let loss = try network.loss(Tensor(shape: [32, 8], values: rows), classes, pass)
  try pass.tape.differentiate()
  updater.step(lr: 1e-2, gradientNorm: updater.gradientNorm())
  return loss
}
print("loss \(losses[0]) -> \(losses.last!)")

// A router of one's own: the k most probable experts, with a handicap for those that the last step used most. The handicap
// is saved with the model, as its buffer.
import MMoEModels
import MMoETensor
import MMoETrain

final class FairRouter: Router {
  static let name = "fair"
  static let settings: Set<RouterSetting> = [.zLoss, .balance]

  private let k: Int
  private let handicap: Tensor
  private var load: [Double] = []

  init(_ store: ParameterStore, _ path: String, _ config: MoEConfig, k: Int) throws {
    self.k = k
    handicap = try store.buffer(path + ".handicap", count: config.choices)
  }

  func choose(_ input: RouterInput, _ tape: Tape) throws -> RouterDecision {
    let choice = try tape.checked.gate(
      input.logits, k: k, renormalize: k > 1, selectionBias: handicap.values, exclude: input.exclude)
    return RouterDecision(choice, of: input, tape)
  }

  func observe(_ sums: RoutingSums, allowed: [[Bool]]?) { load = sums.load }

  func afterStep() {
    let mean = load.reduce(0, +) / Double(load.count)
    handicap.withMutableValues { values in
      for expert in values.indices { values[expert] -= Float(0.01 * (load[expert] / mean - 1)) }
    }
  }
}

try RouterTable.register(FairRouter.self)

var config = ModelConfig()
config.vision.image = 8
(config.layers, config.width, config.heads, config.vision.classes) = (2, 32, 2, 4)
(config.moe.router, config.moe.balance, config.moe.experts) = ("fair", "none", 4)
let engine = try Engine()
let model = try VisionTransformer(config, seed: 1, engine: engine)
let updater = Updater(model.parameters, config: OptimizerConfig(), engine: engine)
var losses: [Double] = []
for step in 0..<40 {
  // Stripes whose place is the class.
  let labels = (0..<16).map { Int32(($0 * 7 + step) % 4) }
  let pixels = labels.flatMap { label in (0..<192).map { (pixel: Int) -> Float in pixel % 4 == label ? 0.5 : -0.5 } }
  for parameter in model.parameters { parameter.clearGradient() }
  let pass = ForwardPass(Tape(engine, recording: true), training: true, seed: 1, step: step)
  losses.append(try model.loss(of: Tensor(shape: [16, 3, 8, 8], values: pixels), labels: labels, pass: pass).loss)
  try pass.tape.differentiate()
  updater.step(lr: 3e-3, gradientNorm: updater.gradientNorm())
  model.afterStep()
}
print("loss \(losses[0]) -> \(losses.last!)")

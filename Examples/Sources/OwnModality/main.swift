// A modality of one's own, touches of eight numbers, in a model that also reads text: it says each touch's word. Each modality has
// experts of its own.
import MMoEModels
import MMoETensor
import MMoETrain

struct Touch: SampledModality {
  let name = "touch"
  let sample = "touch"

  func shape(_ config: ModelConfig) -> [Int] { [1, 1, 8] }
  func rows(_ config: ModelConfig) -> Int { 2 }

  func makeEncoder(_ store: ParameterStore, _ config: ModelConfig) throws -> any SampleEncoder {
    TouchEncoder(weight: try store.parameter("touch_embedding", .embeddings, [config.width, 4], .normal(scale: 1)))
  }

  func operations(_ config: ModelConfig) -> [ModelOperation] {
    [.product("touch embedding", rows: 2, in: 4, out: config.width, bias: false, isInput: true)]
  }
}

/// Four numbers are a row.
struct TouchEncoder: SampleEncoder {
  let weight: Parameter
  var parameters: [Parameter] { [weight] }

  func callAsFunction(_ samples: Tensor, _ tape: Tape) throws -> Tensor {
    try tape.checked.linear(Tensor(shape: [samples.count / 4, 4], values: samples.values), weight: weight)
  }
}

try ModalityTable.registry.register(Touch())

var config = ModelConfig()
(config.kind, config.fusion.modalities) = (.multimodal, ["touch", "language"])
(config.layers, config.width, config.heads) = (2, 32, 2)
(config.text.vocabulary, config.text.context) = (9, 4)
(config.moe.variant, config.moe.experts, config.moe.groups) = ("scmoe", 4, "touch:2,language:2")
let engine = try Engine()
let model = try MultimodalTransformer(config, seed: 1, engine: engine)
let updater = Updater(model.parameters, config: OptimizerConfig(), engine: engine)
let losses = try (0..<60).map { (step: Int) -> Double in
  // Each of eight words is felt in its own way.
  let words = (0..<16).map { Int32(($0 * 3 + step) % 8) }
  let touches = words.flatMap { word in (0..<8).map { $0 == Int(word) ? Float(1) : -1 } }
  let batch = try PackedSequences(
    samples: ["touch": Tensor(shape: [16, 1, 1, 8], values: touches)],
    sequences: (0..<16).map { try .init(of: [.sample("touch", $0), .text([8])]) })
  for parameter in model.parameters { parameter.clearGradient() }
  let pass = ForwardPass(Tape(engine, recording: true), training: true, seed: 1, step: step)
  let states = try model.states(of: batch, pass: pass)
  let loss = try model.nextTokenLoss(of: states, targets: words.map { [$0] }, pass: pass)
  try pass.tape.differentiate()
  updater.step(lr: 3e-3, gradientNorm: updater.gradientNorm())
  model.afterStep()
  return loss
}
print("loss \(losses[0]) -> \(losses.last!)")

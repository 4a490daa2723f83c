import MMoETensor

/// Images to classes.
enum ImageFamily: ModelFamily {
  static let kind = ModelKind.vit

  static func make(_ config: ModelConfig, seed: UInt64?, engine: Engine, describes: Bool) throws -> any TrainableModel {
    try VisionTransformer(config, seed: seed, engine: engine, describes: describes)
  }

  static func add(_ config: ModelConfig, to walk: inout ArchitectureWalk) throws {
    walk.add(ModelOperation.patchEmbedding(config.vision.grid, width: config.width))
    try walk.addBlocks(config)
    walk.addImageHead(config)
  }

  static func randomStep(
    _ config: ModelConfig, batch: Int, engine: Engine
  ) throws -> (model: any TrainableModel, forward: (ForwardPass) -> Void) {
    let random = CounterRandom(seed: 1, purpose: .benchmark)
    let model = try VisionTransformer(config, seed: 1, engine: engine)
    let vision = config.vision
    let images = Tensor(uninitialized: [batch, vision.channels, vision.image, vision.image])
    for i in 0..<images.count { images.pointer[i] = random.normal(UInt64(i)) }
    let labels = (0..<batch).map { Int32($0 % vision.classes) }
    return (model, { pass in _ = pass.tape.crossEntropy(model(images, pass), targets: labels) })
  }
}

extension ArchitectureWalk {
  fileprivate mutating func addImageHead(_ config: ModelConfig) {
    let (d, vision) = (config.width, config.vision)
    let all = vision.tokens * d
    add(.moving("pool", rows: 1, width: d, forward: vision.classToken ? d : all, backward: all))
    add(.product("head", rows: 1, in: d, out: vision.classes, bias: true))
  }
}
